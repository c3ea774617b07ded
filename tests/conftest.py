"""What several test files share. Tests run against the installed package, never the source tree."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parent.parent


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)["data"]


@pytest.fixture(scope="session", autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Python puts the current folder on its path, and in the repository's lies the package's source,
    which has no extension modules: so tests, and what they start, run somewhere else."""
    before = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    yield
    os.chdir(before)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """The command line in this process: what it returned and what it printed."""
    from tracesmith.cli import main

    def run(*words: object) -> Result:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def command() -> Callable[..., Result]:
    """The command line as a process of its own."""

    def run(*words: object, **options: Any) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "tracesmith", *map(str, words)],
            capture_output=True,
            text=True,
            timeout=120,
            **options,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory, command: Callable[..., Result]) -> Path:
    """A recording of the simulated GPU workload."""
    path = tmp_path_factory.mktemp("simulated") / "run.sbt"
    result = command("record", "--platform", "simulation", "-d", "50ms", "-o", path)
    assert result.code == 0, result.err
    return path


@pytest.fixture(scope="session")
def build_dir() -> Path:
    """The CMake build that `make test` made."""
    build = Path(os.environ.get("TRACESMITH_BUILD_DIR", ROOT / "build" / "c"))
    if not (build / "CMakeCache.txt").exists():
        pytest.skip(f"there is no CMake build in {build}; `make test` makes it")
    return build
