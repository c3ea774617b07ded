"""What is built and installed: the C library, its CMake package, the wheel."""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
API = (ROOT / "csrc" / "include" / "tracesmith" / "tracesmith.h").read_text()
INSTRUMENTED = bool(os.environ.get("TRACESMITH_INSTRUMENTED"))
PLAIN = {
    key: value
    for key, value in os.environ.items()
    if key not in ("LD_PRELOAD", "PYTHONPATH", "CFLAGS", "LDFLAGS")
}


def run(*words: object, **options: object) -> str:
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, **({"env": PLAIN} | options)
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def exported(library: Path) -> set[str]:
    lines = run("nm", "-D", "--defined-only", library).splitlines()
    return {line.split()[-1] for line in lines if line.split()[1] in "TDBRVW"}


def declared(header: str) -> set[str]:
    return set(re.findall(r"^TSM_EXPORT[^;]*?\b(tsm_\w+)\(", header, re.MULTILINE))


def test_the_library_exports_the_c_api_and_nothing_foreign(build_dir: Path) -> None:
    if INSTRUMENTED:
        pytest.skip("sanitizers and coverage add symbols of their own")
    names = exported(build_dir / "libtracesmith.so")
    assert declared(API) - names == set()
    assert {name for name in names if not name.startswith("tsm_")} == set()


def test_the_library_has_a_versioned_name(build_dir: Path) -> None:
    assert (build_dir / "libtracesmith.so").resolve().name == "libtracesmith.so.1"
    assert "libtracesmith.so.1" in run("readelf", "-d", build_dir / "libtracesmith.so")


def test_the_core_module_exports_only_its_entry_point() -> None:
    from tracesmith import _core

    if INSTRUMENTED:
        pytest.skip("sanitizers and coverage add symbols of their own")
    assert exported(Path(_core.__file__)) == {"PyInit__core"}


@pytest.fixture(scope="module")
def prefix(build_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if INSTRUMENTED:
        pytest.skip("an instrumented library is not what users install")
    prefix = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", build_dir, "--prefix", prefix)
    return prefix


def test_a_cmake_project_finds_the_installed_package(prefix: Path, tmp_path: Path) -> None:
    run(
        "cmake",
        "-G",
        "Ninja",
        "-S",
        ROOT / "tests" / "cmake_consumer",
        "-B",
        tmp_path,
        f"-DCMAKE_PREFIX_PATH={prefix}",
    )
    run("cmake", "--build", tmp_path)
    assert run(tmp_path / "consumer", tmp_path / "run.sbt") == "1.0.0.dev0 1\n"


HEADERS = ["tracesmith.h"] + [
    f"{room}/{room}.h" for room in ("sbt", "ingest", "timeline", "analysis", "export")
]


def test_the_installed_headers_compile_as_c_and_cpp(prefix: Path, tmp_path: Path) -> None:
    for compiler, suffix, standard in (("cc", "c", "c11"), ("c++", "cpp", "c++11")):
        if shutil.which(compiler) is None:
            continue
        source = tmp_path / f"user.{suffix}"
        includes = "".join(f"#include <tracesmith/{header}>\n" for header in HEADERS)
        source.write_text(includes + "int main(void) { return 0; }\n")
        run(
            compiler,
            f"-std={standard}",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            "-fsyntax-only",
            f"-I{prefix}/include",
            f"-I{prefix}/include/tracesmith",
            source,
        )


@pytest.mark.parametrize(("example", "events"), [("example_emit_c", 4000), ("example_emit_cpp", 303)])
def test_an_example_records_what_it_says(build_dir: Path, tmp_path: Path, example: str, events: int) -> None:
    import tracesmith

    binary = build_dir / "examples" / example
    if not binary.exists():
        pytest.skip(f"{binary} was not built: no C++ compiler, or a build without examples")
    run(binary, tmp_path / "run.sbt", env=os.environ)
    trace = tracesmith.open(tmp_path / "run.sbt")
    assert trace.info["complete"]
    assert trace.info["events"] == events


def test_the_example_that_looks_at_a_trace_opens_any(build_dir: Path, tmp_path: Path) -> None:
    import tracesmith

    binary = build_dir / "examples" / "example_look_c"
    if not binary.exists():
        pytest.skip(f"{binary} was not built: a build without examples")
    events = tracesmith.capture_trace(duration_ms=20, platform=tracesmith.PlatformType.Simulation)
    utilization = tracesmith.build_timeline(events).gpu_utilization
    with tracesmith.SBTWriter(tmp_path / "run.sbt") as writer:
        writer.write_events(events)
    tracesmith.export_perfetto(events, tmp_path / "run.json")
    for name in ("run.sbt", "run.json"):
        said = run(binary, tmp_path / name, tmp_path / "run.perfetto-trace", env=os.environ)
        assert f"devices busy {100 * utilization:.1f} %" in said
        assert (tmp_path / "run.perfetto-trace").stat().st_size > 1000


def test_the_wheel_builds_without_zstd_and_with_the_old_switches(tmp_path: Path) -> None:
    if INSTRUMENTED:
        pytest.skip("builds a wheel of its own, not instrumented")
    pytest.importorskip("scikit_build_core")
    environment = PLAIN | {"TRACESMITH_CUDA": "1", "TRACESMITH_ROCM": "1", "TRACESMITH_METAL": "1"}
    run(
        *(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"),
        *(
            "--target",
            tmp_path / "site",
            "-C",
            "cmake.define.ZSTD_LIBRARY=OFF",
            "-C",
            f"build-dir={tmp_path}/build",
            ROOT,
        ),
        env=environment,
    )
    installed = {path.name for path in (tmp_path / "site" / "tracesmith").iterdir()}
    assert "libtracesmith.so.1" in installed
    assert {"py.typed"} <= installed

    def cli(*words: object) -> str:
        site = {"PYTHONPATH": str(tmp_path / "site")}
        return run(sys.executable, "-m", "tracesmith", *words, env=PLAIN | site, cwd=tmp_path)

    assert re.search(r"zstd +absent", cli("info"))
    cli("record", "--platform", "simulation", "-d", "10ms", "-o", "run.sbt")
    assert re.search(r"complete +yes", cli("info", "run.sbt"))


def test_every_extra_that_users_were_told_of_exists() -> None:
    extras = set(metadata("tracesmith").get_all("Provides-Extra") or [])
    promised = {
        "cuda11",
        "cuda12",
        "cuda118",
        "cuda120",
        "rocm",
        "visualization",
        "torch",
        "dev",
        "docs",
        "all",
    }
    assert promised <= extras


def test_one_version_everywhere() -> None:
    import tracesmith

    in_header = re.search(r'#define TSM_VERSION "([^"]+)"', API)
    in_project = re.search(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    in_cmake = re.search(r"project\(TraceSmith VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text())
    assert in_header and in_project and in_cmake
    assert in_header[1] == in_project[1] == tracesmith.__version__
    assert in_project[1].startswith(in_cmake[1] + ".dev") or in_project[1] == in_cmake[1]


def test_import_loads_neither_numpy_nor_the_core() -> None:
    code = "import sys, tracesmith; print(*(m for m in ('numpy', 'tracesmith._core') if m in sys.modules))"
    assert run(sys.executable, "-c", code, env=os.environ, cwd="/") == "\n"
