"""The command ``tracesmith-cli``: one file per verb, words for people, exit codes for scripts.

A verb's module has ``add(subparsers)``, which declares it, and ``run(args)``, which returns what
``--format json`` prints as data, after printing the same as text when that was asked for.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from tracesmith.cli.output import CommandError, Output, UsageError

# In the order of --help. A verb's module is its name's, but for 'import', which Python keeps; 'later'
# has several.
VERBS = (
    "record",
    "import",
    "info",
    "view",
    "analyze",
    "diff",
    "export",
    "repair",
    "version",
    "help",
    "later",
)


def load(verb: str) -> ModuleType:
    return importlib.import_module("tracesmith.cli." + {"import": "import_"}.get(verb, verb))


class Parser(argparse.ArgumentParser):
    """Raises instead of exiting, so that a wrong command line gets the same envelope as any error."""

    def error(self, message: str) -> None:
        raise UsageError(f"{message}; see {self.prog} --help")


def build_parser(verbs: Sequence[str] = VERBS) -> Parser:
    parser = Parser(
        prog="tracesmith-cli",
        description="Record what a GPU did, look at it, and mend what a crash left behind.",
        epilog="Exit codes: 0 done, 1 it failed (the cause is on stderr), 2 the command line is wrong.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.add_argument(
        "--no-color", action="store_true", help="no colours (so does NO_COLOR); anywhere before --"
    )
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="how to print (default: text)"
    )
    parsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for verb in verbs:
        load(verb).add(parsers)
    return parser


def needed(argv: Sequence[str]) -> Sequence[str]:
    """The one verb that the command line begins with, so that the others need not be loaded."""
    return [argv[0]] if argv and argv[0] in VERBS and argv[0] not in ("help", "later") else VERBS


def split_no_color(argv: Sequence[str]) -> tuple[list[str], bool]:
    """Takes --no-color out of the words before ``--``; what follows belongs to another program."""
    words = list(argv)
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != "--no-color"]
    return kept + words[end:], len(kept) < end


def wants_json(argv: Sequence[str]) -> bool:
    """For errors that happen before the command line is understood."""
    words = list(argv)
    end = words.index("--") if "--" in words else len(words)
    pairs = zip(words[:end], words[1:end], strict=False)
    return "--format=json" in words[:end] or any(
        option in ("-f", "--format") and value == "json" for option, value in pairs
    )


def run(argv: Sequence[str]) -> int:
    words, no_color = split_no_color(argv)
    output = Output(json=wants_json(words), color=not no_color)
    try:
        args = build_parser(needed(words)).parse_args(words)
        args.command = "version" if args.version else args.command or "help"
        output.command = args.command
        args.output_stream = output
        if args.version or not hasattr(args, "run"):
            args.run = load("version" if args.version else "help").run
        output.finish(args.run(args))
    except UsageError as error:
        output.fail(str(error))
        return 2
    except CommandError as error:
        output.fail(str(error))
        return 1
    except MemoryError:
        output.fail("out of memory: close other programs, or read a smaller part of the trace")
        return 1
    return output.exit_code


def main(argv: Sequence[str] | None = None) -> int:
    try:
        code = run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader (head, less) has seen enough; Python would complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
