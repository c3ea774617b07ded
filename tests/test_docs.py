"""The documents tell the truth: links lead somewhere, examples and commands run."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "csrc" / "README.md"])
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def code(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|\$ )make ([a-z]+)", document.read_text()))
    assert named - targets == set()


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    for snippet in code(ROOT / "README.md", "python"):
        done = subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_python_of_the_python_page_runs_from_top_to_bottom(tmp_path: Path) -> None:
    program = "\n".join(code(ROOT / "docs" / "python.md", "python"))
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for written in ("run.sbt", "session.sbt", "simulated.sbt", "run.json.gz", "run.perfetto-trace"):
        assert (tmp_path / written).stat().st_size > 0


def test_the_commands_of_the_readme_run(tmp_path: Path, command: Callable) -> None:
    lines = [line for block in code(ROOT / "README.md", "console") for line in block.splitlines()]
    commands = [shlex.split(line[2:]) for line in lines if line.startswith("$ tracesmith-cli ")]
    assert len(commands) >= 3
    for words in commands:
        extra = ["-d", "20ms"] if words[1] == "record" else []
        result = command(*words[1:], *extra, cwd=tmp_path)
        assert result.code == 0, result.err


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    words = [sys.executable, str(example), str(tmp_path / "out.sbt")]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "events" in done.stdout


def test_the_document_of_the_command_line_names_every_verb_and_option() -> None:
    from tracesmith.cli import build_parser

    text = (ROOT / "docs" / "cli.md").read_text()
    verbs = build_parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    for name, parser in verbs.items():
        assert f"`{name}" in text
        for option in parser._option_string_actions:
            if option not in ("-h", "--help", "--format"):
                assert f"`{option}`" in text, (name, option)
