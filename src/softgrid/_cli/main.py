"""Turns the arguments of `softgrid …` into one call, and its outcome into an exit code.

Called by the console script and by `python -m softgrid`.  Exit codes: 0 done, 1 the command
itself failed, 2 the arguments were wrong, 130 stopped by Ctrl-C.  It prints messages, never
tracebacks, for anything that a user can cause.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from softgrid import get_version
from softgrid._cli.demo import DemoFailed, default_workers, run_demo
from softgrid._cli.join import add_parser as add_join
from softgrid._cli.join import run_join


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; *argv* without the program's name, by default that of this process."""
    parser = build_parser()
    options = parser.parse_args(argv)
    if options.command is None:
        parser.print_help()
        return 0
    if options.command == "join":
        return run_join(options)
    try:
        return run_demo(workers=options.workers, top=options.top, quiet=options.quiet)
    except DemoFailed as failure:
        print(f"softgrid demo: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("softgrid demo: stopped", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    """Every command with its options, for `main` and for the documentation."""
    parser = argparse.ArgumentParser(
        prog="softgrid",
        description="Any connected machines as one soft grid.",
    )
    parser.add_argument("--version", action="version", version=f"softgrid {get_version()}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    demo = commands.add_parser(
        "demo",
        help="count the identifiers of Python's standard library on a local grid",
        description="Tokenise every source file of this machine's Python standard library over "
        "a local grid (1 orchestrator, 1 router, 1 manager, the workers), and compare the "
        "result and the time with a serial count.",
    )
    demo.add_argument(
        "--workers",
        type=_count,
        default=default_workers(),
        metavar="N",
        help="how many workers to launch (default: one per core, here %(default)s)",
    )
    demo.add_argument(
        "--top",
        type=_count,
        default=20,
        metavar="N",
        help="how many identifiers to print (default: %(default)s)",
    )
    demo.add_argument("--quiet", action="store_true", help="draw no progress bar")
    add_join(commands)
    return parser


def _count(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return number
