"""The C units, one pytest test for each of theirs: `pytest -k NAME` runs a single one.

They are found in $TRACESMITH_BUILD_DIR/units, which `make test` builds and names."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BUILD = Path(os.environ.get("TRACESMITH_BUILD_DIR", ROOT / "build" / "c"))
TIMEOUT_S = 300


def unit_names() -> list[str]:
    return sorted(source.stem for source in (ROOT / "tests" / "c").glob("test_*.c"))


def environment() -> dict[str, str]:
    """Without what `make asan` preloads for the interpreter: sanitized units bring their own."""
    return {key: value for key, value in os.environ.items() if key not in ("LD_PRELOAD", "ASAN_OPTIONS")}


def run(unit: str, word: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BUILD / "units" / unit, word],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TIMEOUT_S,
        env=environment(),
    )


def listed(unit: str) -> list[str]:
    return run(unit, "--list").stdout.split() if (BUILD / "units" / unit).exists() else []


TESTS = {unit: listed(unit) for unit in unit_names()}
CASES = [pytest.param(unit, name, id=f"{unit}::{name}") for unit, names in TESTS.items() for name in names]


def test_every_unit_is_built_and_lists_its_tests() -> None:
    if not BUILD.exists():
        pytest.skip(f"the C units are not built: {BUILD} does not exist; `make test` builds them")
    assert [unit for unit, names in TESTS.items() if not names] == []


@pytest.mark.parametrize(("unit", "name"), CASES)
def test_c(unit: str, name: str) -> None:
    done = run(unit, name)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
