"""What runs on another machine before our own source is there: a short shell command, then a short Python program.

The command has to pass through login shells of any kind, so it holds no quote of its own, and says what it has come to
in lines that begin with a nonce: whatever else start-up files print is passed over.

    NONCE shell            the connection stands and commands are run
    NONCE python TAG       a Python that is good enough waits for the program
    NONCE none TRIED       there is none
    NONCE ready JSON       the supervisor is there; from here on the connection carries channels

Another connection to a supervisor that is there already runs a shorter one (``_launch.returning``):

    NONCE back             the supervisor is there, and its owner may prove that it is back
    NONCE gone             it is not
"""

from __future__ import annotations

from typing import NamedTuple

from softgrid._launch.bundle import boot, make_bundle
from softgrid._launch.returning import GONE, PROGRAM
from softgrid._model.errors import BadArgument

SHELL, PYTHON, NONE, READY = "shell", "python", "none", "ready"
PYTHONS = ("python3", "python3.13", "python3.12", "python3.11", "python3.10", "python")
LENGTH_DIGITS = 8

_COMMAND = (
    "sh -c '"
    "echo $0 shell;"
    'for p in "$@";do '
    'command -v "$p" >/dev/null 2>&1||{ t="$t, $p: not found";continue;};'
    'v=$(SOFTGRID_GRID=$0 "$p" -S -c "import sys;print(sys.version_info[:2])" </dev/null 2>&1|tail -n 1);'
    'case $v in "(3, 1"?")")SOFTGRID_GRID=$0 exec "$p" -c '
    '"import sys;sys.path[:]=filter(None,sys.path);i=sys.stdin.buffer;'
    'print(*sys.argv[1:],sys.implementation.cache_tag,flush=True);exec(i.read(int(i.read(8))))" $0 python;;esac;'
    't="$t, $p: $v";done;echo "$0 none$t"'
    "' "
)
_END = (
    "sh -c '"
    'for f in $(grep -slF "$1$0" /proc/[0-9]*/cmdline /proc/[0-9]*/environ);do '
    'f=${f#/proc/};kill -9 "${f%%/*}" 2>/dev/null;done;:'
    "' "
)
_RETURN = f'exec sh -c \'echo $0 {SHELL};"$2" -I -S -c "{PROGRAM}" "$1" $0||echo $0 {GONE}\' '
_PROGRAM = """\
{importable}
from softgrid._api.child import supervise_from_afar
supervise_from_afar({nonce!r})
"""


class Greeting(NamedTuple):
    """A line meant for us, and what came after it."""

    word: str
    said: str
    rest: bytes


def command_there(nonce: str, executable: str | None) -> str:
    """Give the command by which a Python is found and started; raises BadArgument for one that cannot be named."""
    return _COMMAND + " ".join([nonce, *(map(_quoted, [executable] if executable else PYTHONS))])


def command_back(nonce: str, place: str, executable: str) -> str:
    """Give the command by which its owner comes back to a supervisor that listens at *place*; raises BadArgument."""
    return f"{_RETURN}{nonce} {place} {_quoted(executable)}"


def _quoted(executable: str) -> str:
    if not executable.isprintable() or any(letter in executable for letter in "'\\!") or executable.startswith("-"):
        raise BadArgument("machineExecutable", executable, "a path or name without quotes, backslashes and '!'")
    return f"'{executable}'"


def command_to_end(nonce: str) -> str:
    """Give the command that ends what has come of another command and hangs; it must not name the nonce itself."""
    half = len(nonce) // 2
    return f"{_END}{nonce[half:]} {nonce[:half]}"


def program_there(nonce: str) -> bytes:
    """Give what the Python there reads: how long its program is, the program, and our source."""
    bundle = make_bundle()
    program = _PROGRAM.format(importable=boot(f"i.read({len(bundle)})"), nonce=nonce).encode()
    return f"{len(program):0{LENGTH_DIGITS}d}".encode() + program + bundle


def read_greeting(nonce: str, received: bytes) -> Greeting | None:
    """Find the next line meant for us; None when it has not come yet."""
    _, found, rest = received.partition(nonce.encode() + b" ")
    line, ends, rest = rest.partition(b"\n")
    if not found or not ends:
        return None
    word, _, said = line.decode(errors="replace").partition(" ")
    return Greeting(word.rstrip(","), said.strip(), rest)
