"""What every verb has in common: exit codes, errors, the envelope."""

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tracesmith.cli import later, main, split_no_color
from tracesmith.cli.output import human_bytes, human_ns, printable


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["view"],
        ["view", "a.sbt", "--nonsense"],
        ["view", "a.sbt", "--lim", "3"],
        ["view", "a.sbt", "-n", "many"],
        ["view", "a.sbt", "-n", "-1"],
        ["info", "a.sbt", "b.sbt"],
        ["record", "-d", "5 parsecs"],
        ["record", "-p", "abacus"],
        ["version", "--verbose"],
        ["help", "nonsense"],
        ["--format", "xml", "version"],
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(cli: Callable, words: list[str]) -> None:
    result = cli(*words)
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("tracesmith-cli: ")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("verb", sorted(later.INSTEAD))
@pytest.mark.parametrize("rest", [[], ["--", "python", "train.py"], ["a.sbt", "-o", "b.json"]])
def test_a_verb_of_a_later_stage_says_that_it_is_not_here_yet(
    cli: Callable, verb: str, rest: list[str]
) -> None:
    result = cli(verb, *rest)
    assert result.code == 2
    assert result.err.startswith(f"tracesmith-cli: {verb} is not in this build")
    assert result.err.count("\n") == 1


def test_json_errors_have_the_same_envelope_as_data(cli: Callable) -> None:
    for words in (
        ["info", "absent.sbt", "--format", "json"],
        ["view", "--format=json"],
        ["-x", "--format", "json"],
    ):
        result = cli(*words)
        envelope = json.loads(result.out)
        assert envelope["tool"] == "tracesmith-cli"
        assert set(envelope) == {"tool", "version", "command", "error"}
        assert envelope["error"]["message"] in result.err
        assert result.code in (1, 2)


@pytest.mark.parametrize("words", [["--format", "json", "version"], ["version", "--format", "json"]])
def test_the_format_may_stand_before_or_behind_the_verb(cli: Callable, words: list[str]) -> None:
    result = cli(*words)
    assert result.code == 0
    envelope = json.loads(result.out)
    assert set(envelope) == {"tool", "version", "command", "data"}
    assert envelope["command"] == "version"
    assert envelope["data"]["version"] == envelope["version"]


def test_no_color_counts_anywhere_before_the_dashes_and_not_behind() -> None:
    assert split_no_color(["view", "--no-color", "a"]) == (["view", "a"], True)
    assert split_no_color(["--no-color", "view"]) == (["view"], True)
    assert split_no_color(["profile", "--", "x", "--no-color"]) == (
        ["profile", "--", "x", "--no-color"],
        False,
    )


def test_no_verb_prints_the_help(cli: Callable) -> None:
    result = cli()
    assert result.code == 0
    for verb in ("record", "info", "view", "repair"):
        assert verb in result.out


def test_help_for_a_verb_is_its_own(cli: Callable) -> None:
    assert "--limit" in cli("help", "view").out
    assert "--limit" not in cli("help", "repair").out


def test_the_version_is_the_banner(cli: Callable) -> None:
    for words in (["version"], ["--version"]):
        assert cli(*words).out.startswith("TraceSmith 1.0.0")


def test_python_m_returns_the_exit_code(command: Callable) -> None:
    assert command("version").code == 0
    assert command("nonsense").code == 2
    assert command("info", "absent.sbt").code == 1


def test_a_reader_that_stops_reading_is_no_error(simulated) -> None:
    whole = subprocess.Popen(
        [sys.executable, "-m", "tracesmith", "view", "-n", "100000", "-f", "csv", simulated],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=simulated.parent,
    )
    assert whole.stdout is not None and whole.stderr is not None
    whole.stdout.readline()
    whole.stdout.close()
    assert whole.stderr.read() == b""
    assert whole.wait() == 0
    whole.stderr.close()


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(argv: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("tracesmith.cli.run", interrupt)
    assert main([]) == 130


def test_both_names_of_the_command_are_installed() -> None:
    folder = os.path.dirname(sys.executable)
    for name in ("tracesmith", "tracesmith-cli"):
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            pytest.skip("the package is not installed into this environment")
        assert subprocess.run([path, "version"], capture_output=True, text=True).stdout.startswith(
            "TraceSmith"
        )


def test_names_cannot_drive_the_terminal() -> None:
    assert printable("a\x1b[2Jb\n\u202ec") == "a\\x1b[2Jb\\n\\u202ec"
    assert printable("\udc80") == "\\udc80"
    assert printable("x" * 50, 10) == "x" * 9 + "…"


def test_quantities_read_well() -> None:
    assert [human_ns(n) for n in (0, 999, 1000, 1.5e6, 61e9)] == [
        "0 ns",
        "999 ns",
        "1.000 µs",
        "1.500 ms",
        "61.000 s",
    ]
    assert [human_bytes(n) for n in (0, 1023, 1024, 5 << 20)] == ["0 B", "1023 B", "1.0 KiB", "5.0 MiB"]
