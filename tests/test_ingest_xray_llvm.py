"""XRay logs of a real program, record by record against llvm-xray: two small ones that clang 14's runtime
wrote are kept in data/xray, the others are made here, which needs clang with its XRay runtime."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import tracesmith as ts

DATA = Path(__file__).parent / "data" / "xray"
SOURCE = r"""
#include <pthread.h>
extern "C" {
int __xray_log_select_mode(const char *);
int __xray_log_init_mode(const char *, const char *);
int __xray_patch();
int __xray_log_finalize();
int __xray_log_flushLog();
}
#define TRACED __attribute__((xray_always_instrument, noinline))
namespace shop {
struct Till {
    TRACED int leaf(int x) { asm volatile("" : "+r"(x)); return x * 3; }
    TRACED int tail(int x) { asm volatile("" : "+r"(x)); return leaf(x + 1); }
};
TRACED __attribute__((xray_log_args(1)))
int with_argument(long x) { asm volatile("" : "+r"(x)); return int(x); }
TRACED int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
TRACED void thrower(int n) { if (n == 0) throw 1; thrower(n - 1); asm volatile(""); }
}
extern "C" TRACED void *work(void *given) {
    static const char text[] = "beat";
    volatile int sum = 0;
    shop::Till till;
    for (int i = 0; i < 20; i++) {
        sum = sum + till.tail(i) + shop::with_argument(i * 1000L);
        __xray_customevent(text, sizeof text - 1);
    }
    try { shop::thrower(3); } catch (int) { sum = sum + 1; }
    sum = sum + shop::fib(7);
    return given;
}
int main(int argc, char **) {
    bool recorder = argc > 1;
    if (recorder) {
        if (__xray_log_select_mode("xray-fdr") != 0) return 1;
        const char *options = "buffer_size=4096:buffer_max=100:func_duration_threshold_us=0";
        if (__xray_log_init_mode("xray-fdr", options) != 2) return 2;
        if (__xray_patch() != 1) return 3;
    }
    pthread_t threads[3];
    for (pthread_t &thread : threads) pthread_create(&thread, nullptr, work, nullptr);
    work(nullptr);
    for (pthread_t &thread : threads) pthread_join(thread, nullptr);
    if (recorder) {
        __xray_log_finalize();
        __xray_log_flushLog();
    }
    return 0;
}
"""
RECORD = re.compile(
    r"func-id: (?P<id>\d+), function: (?P<name>'(?:[^']|'')*'|.*?), (?:args: \[ (?P<argument>\d+) \], )?"
    r"cpu: (?P<cpu>\d+), thread: (?P<tid>\d+), process: (?P<pid>\d+), kind: (?P<kind>[\w-]+), "
    r"tsc: (?P<tsc>\d+), data: (?P<data>.*) }"
)
ARGUMENT_FUNCTION = "function 1"
"""with_argument in the kept logs."""
EXITS = {1: "function-exit", 2: "function-tail-exit"}


def tool(name: str) -> str:
    for word in (name, *(f"{name}-{version}" for version in range(20, 10, -1))):
        found = shutil.which(word)
        if found:
            return found
    pytest.skip(f"{name} is not installed")


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("xray")
    source, made = folder / "shop.cpp", folder / "shop"
    source.write_text(SOURCE)
    command = [tool("clang++"), "-O2", "-fxray-instrument", "-fxray-instruction-threshold=1", "-pthread"]
    done = subprocess.run([*command, source, "-o", made], capture_output=True, text=True)
    if "libclang_rt.xray" in done.stderr:
        pytest.skip("clang's XRay runtime is not installed (libclang-rt-dev)")
    assert done.returncode == 0, done.stderr
    return made


def run(program: Path, mode: str) -> Path:
    options = f"xray_logfile_base={program}.{mode}. "
    options += "patch_premain=true xray_mode=xray-basic" if mode == "basic" else ""
    environment = os.environ | {"XRAY_OPTIONS": options, "XRAY_BASIC_OPTIONS": "func_duration_threshold_us=0"}
    environment.pop("LD_PRELOAD", None)
    subprocess.run(
        [program, *(["fdr"] if mode == "fdr" else [])], env=environment, check=True, capture_output=True
    )
    return next(program.parent.glob(f"*.{mode}.*"))


@pytest.fixture(scope="session", params=["basic", "fdr"])
def log(request: pytest.FixtureRequest, program: Path) -> Path:
    return run(program, request.param)


def theirs(program: Path, log: Path) -> list[tuple[Any, ...]]:
    """What llvm-xray makes of it."""
    command = [tool("llvm-xray"), "convert", "-f", "yaml", "-symbolize", f"-instr_map={program}", log]
    return read_yaml(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def read_yaml(text: str) -> list[tuple[Any, ...]]:
    """A custom event's function is left over from the record before."""
    lines = text.splitlines()
    records = []
    for line in lines[lines.index("records:") + 1 :]:
        if line == "...":
            break
        found = RECORD.search(line)
        assert found, line
        name, custom = found["name"].strip("'"), found["kind"] == "custom-event"
        who = (int(found["tsc"]), int(found["pid"]), int(found["tid"]), int(found["cpu"]), found["kind"])
        what = (0, "", found["data"]) if custom else (int(found["id"]), name, found["argument"])
        records.append(who + what)
    return sorted(records, key=str)


def ours(events: ts.Events) -> list[tuple[Any, ...]]:
    """The records that the events were made of."""
    records = []
    about = {row: values for row, *values in events.extensions("xray").tolist()}
    custom = {row: values for row, *values in events.extensions("xray:custom").tolist()}
    arguments = "argument" in events.extensions("xray").dtype.names
    pids = events.tables.processes["pid"][events.tables.threads["process"][events["thread"]]].tolist()
    for row, event in enumerate(events):
        begin, end = event.timestamp, event.timestamp + event.duration
        who = (pids[row], event.thread_id)
        if row in custom:
            records.append((begin, *who, custom[row][0], "custom-event", 0, "", event.metadata["data"]))
            continue
        function, cpu, exit_cpu, how, *argument = about[row]
        has_argument = arguments and event.name in ("shop::with_argument(long)", ARGUMENT_FUNCTION)
        kind = "function-enter-arg" if has_argument else "function-enter"
        value = str(argument[0]) if has_argument else None
        records.append((begin, *who, cpu, kind, function, event.name, value))
        if how:
            records.append((end, *who, exit_cpu, EXITS[how], function, event.name, None))
    return records


def assert_same_records(
    importer: ts.XRayImporter, expected: list[tuple[Any, ...]], found: list[tuple[Any, ...]]
) -> None:
    """A flight recorder's time is shifted to CLOCK_MONOTONIC."""
    frequency = importer.header.cycle_frequency
    inside = [(record[0] * 10**9 // frequency, *record[1:]) for record in expected]
    shift = min(inside)[0] - min(found)[0]
    shifted = [(record[0] + shift, *record[1:]) for record in found]
    assert shift == 0 or importer.header.type == 1
    assert sorted(shifted, key=str) == sorted(inside, key=str)


def test_every_record_is_that_of_llvm_xray(program: Path, log: Path) -> None:
    importer = ts.XRayImporter(ts.XRayImporterConfig(symbol_file=program))
    events = importer.import_file(log)
    expected = theirs(program, log)
    assert len(expected) > 400
    assert_same_records(importer, expected, ours(events))
    assert importer.report.skipped == []


@pytest.mark.parametrize("mode", ["basic", "fdr"])
def test_the_kept_logs_are_read_as_llvm_xray_read_them(mode: str) -> None:
    importer = ts.XRayImporter()
    events = importer.import_file(DATA / "good" / f"clang14-{mode}.xray")
    expected = read_yaml((DATA / f"clang14-{mode}.yaml").read_text())
    named = [(*record[:6], record[6] and f"function {record[6]}", record[7]) for record in expected]
    assert len(named) > 40
    assert_same_records(importer, named, ours(events))


def test_names_are_demangled_and_exceptions_leave_inferred_ends(program: Path, log: Path) -> None:
    events = ts.XRayImporter(ts.XRayImporterConfig(symbol_file=program)).import_file(log)
    names = set(events.names.tolist()) - {"custom event"}
    assert names >= {"shop::Till::leaf(int)", "shop::fib(int)", "shop::with_argument(long)", "work"}
    thrown = events[events.names == "shop::thrower(int)"]
    assert len(thrown) == 4 * 4
    assert (thrown["flags"] & 0x40 != 0).all()
    roots = events[events.names == "work"]
    assert len(roots) == 4 and (roots["flags"] & 0x40 == 0).all()


def test_the_command_line_takes_the_binary(program: Path, log: Path, cli: Any, tmp_path: Path) -> None:
    output = tmp_path / "log.sbt"
    result = cli("import", log, "--binary", program, "-o", output)
    assert result.code == 0, result.err
    with ts.open(output) as trace:
        assert "shop::fib(int)" in trace.events.names
    for wrong, why in ((log, "not an ELF file"), ("/bin/sh", "-fxray-instrument"), ("/none", "No such file")):
        result = cli("import", log, "--binary", wrong, "-f", "-o", output)
        assert result.code != 0 and why in result.err
    result = cli("import", DATA / "clang14-fdr.yaml", "--binary", program, "-f", "-o", output)
    assert result.code != 0 and "--binary gives names to XRay logs" in result.err


def test_without_a_binary_functions_are_numbers(log: Path) -> None:
    with ts.open(log) as trace:
        assert re.fullmatch(r"function \d+", trace.events.names[0])
        assert trace.imported is not None
        assert any(name == "function name" for name, _, _ in trace.imported.skipped)
