"""The first code of a process that is there to join a grid: of the launch script, and of ``softgrid join``.

It asks for what it is not told, says on standard error what becomes of it, and gives an exit code: 0 the grid has
ended, 1 it could not join or the grid is gone, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from softgrid import Globals
from softgrid._api.executors import Manager, Router, Worker
from softgrid._model.errors import SoftgridError

ROLES: dict[str, type[Router | Manager | Worker]] = {"worker": Worker, "manager": Manager, "router": Router}


class Wish(NamedTuple):
    """Whom to join, and as what."""

    address: str
    port: int
    role: str = "worker"
    password_file: str | None = None
    name: str | None = None
    own_address: str | None = None
    timeout: float = 20.0


class CannotAsk(Exception):
    """The password is nowhere to be had; the text is for the person at the terminal."""


def main(address: str, port: int, role: str) -> None:
    """Be what a launch script is for; ends the process unless somebody sits at its prompt."""
    code = join(_wish_from(sys.argv[1:], Wish(address, port, role)))
    if not Globals.INTERACTIVE_MODE:
        sys.exit(code)


def _wish_from(argv: Sequence[str], wish: Wish) -> Wish:
    import argparse

    description = f"Join the grid at {wish.address}:{wish.port}."
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    add_options(parser, wish)
    return wish_with(wish, parser.parse_args(list(argv)))


def add_options(parser: Any, wish: Wish) -> None:
    """Give a parser of arguments what can be said about a wish besides where to join."""
    parser.add_argument("--role", choices=list(ROLES), default=wish.role, help="what to be (default: %(default)s)")
    parser.add_argument(
        "--password-file",
        metavar="FILE",
        help="where the password stands, on its first line; - for standard input (default: it is asked for)",
    )
    parser.add_argument("--name", help="name of the executor (default: that of its role)")
    parser.add_argument(
        "--address",
        dest="own_address",
        metavar="ADDRESS",
        help="address of this machine by which others may join below this executor (default: only this machine may)",
    )
    parser.add_argument(
        "--timeout", type=float, default=wish.timeout, metavar="S", help="seconds to connect (default: %(default)g)"
    )


def wish_with(wish: Wish, options: Any) -> Wish:
    """Give *wish* as the parsed options change it."""
    return wish._replace(**{field: getattr(options, field) for field in Wish._fields if hasattr(options, field)})


def join(wish: Wish) -> int:
    """Join, serve until the grid ends, and give the exit code."""
    try:
        password = _password(wish)
        executor = ROLES[wish.role](name=wish.name, address=wish.own_address)
    except (CannotAsk, SoftgridError) as error:
        _say(f"cannot join: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    executor._node.serve_later()  # what comes before this thread serves waits for it
    try:
        executor.connect_to_grid(wish.address, wish.port, password, timeout=wish.timeout)
        del password
        _say(f"{executor.gridUniqueName} is on the grid below {executor.gridPath[-2]}; Ctrl-C leaves it")
        executor._node.serve()
    except SoftgridError as error:
        _say(f"cannot join {wish.address}:{wish.port}: {error}")
        executor.disconnect(kill=False)
        return 1
    except KeyboardInterrupt:
        executor.disconnect(kill=False)
        _say("left the grid")
        return 130
    return 0 if executor._node.membership.upgrid_said_bye else 1


def _say(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _password(wish: Wish) -> str:
    if wish.password_file is None:
        return _asked(f"password of {wish.address}:{wish.port}: ")
    try:
        password = _read(wish.password_file)
    except (OSError, UnicodeDecodeError) as error:
        raise CannotAsk(f"the password cannot be read from {wish.password_file}: {error}") from None
    if not password:
        raise CannotAsk(f"the first line of {wish.password_file}, where the password should be, is empty")
    return password


def _read(path: str) -> str:
    if path == "-":
        return sys.stdin.readline().rstrip("\r\n")
    with open(path, encoding="utf-8") as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISREG(mode) and mode & 0o077:
            _say(f"others on this machine can read {path}: chmod 600 {path}")
        return file.readline().rstrip("\r\n")


def _asked(prompt: str) -> str:
    """Ask at the terminal, unseen; an empty answer may be left over from pasting, and is asked again."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        raise CannotAsk("there is no terminal to ask for the password at: give --password-file FILE") from None
    from getpass import getpass

    try:
        for _ in range(3):
            password = getpass(prompt)
            if password:
                return password
    except EOFError:
        pass
    raise CannotAsk("no password was given")
