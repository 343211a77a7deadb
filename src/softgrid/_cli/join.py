"""`softgrid join`: be an executor of somebody's grid, until that grid ends or Ctrl-C."""

from __future__ import annotations

import argparse
from typing import Any

from softgrid._api.by_hand import Wish, add_options, join, wish_with


def add_parser(commands: Any) -> None:
    """Add the command to those of the command line."""
    parser = commands.add_parser(
        "join",
        help="join a grid by hand, from any machine",
        description="Be an executor of a grid, directly below the one that listens at ADDRESS:PORT, until the grid "
        "ends or Ctrl-C. Its password is read from a file or asked for, and proved without being sent.",
        allow_abbrev=False,  # or --password would be taken for --password-file
    )
    parser.add_argument("where", metavar="ADDRESS:PORT", type=address_and_port, help="where that executor listens")
    add_options(parser, Wish("", 0))


def run_join(options: argparse.Namespace) -> int:
    """Run the command and give its exit code."""
    address, port = options.where
    return join(wish_with(Wish(address, port), options))


def address_and_port(text: str) -> tuple[str, int]:
    """Read ``host:port``, ``10.0.0.7:5000`` or ``[fe80::1]:5000``."""
    address, colon, port = text.rpartition(":")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    elif ":" in address:
        raise argparse.ArgumentTypeError(f"{text!r}: an IPv6 address stands in brackets, as in [::1]:5000")
    if not colon or not address or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not ADDRESS:PORT, as in 10.0.0.7:5000")
    return address, int(port)
