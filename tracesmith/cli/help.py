"""``help [COMMAND]``: the same as --help."""

from __future__ import annotations

import argparse

from tracesmith.cli.output import UsageError


def add(verbs: argparse._SubParsersAction) -> None:
    verb = verbs.add_parser("help", help="show this, or the options of one command", allow_abbrev=False)
    verb.add_argument("topic", nargs="?", metavar="COMMAND")
    verb.add_argument("--format", choices=("text", "json"), default=argparse.SUPPRESS)
    verb.set_defaults(run=run, verbs=verbs)


def run(args: argparse.Namespace) -> dict[str, str]:
    from tracesmith.cli import build_parser

    parser: argparse.ArgumentParser = build_parser()
    topic = getattr(args, "topic", None)
    if topic is not None:
        if topic not in args.verbs.choices:
            raise UsageError(f"there is no command {topic!r}; `tracesmith-cli help` lists them")
        parser = args.verbs.choices[topic]
    text = parser.format_help()
    args.output_stream.line(text.rstrip())
    return {"help": text}
