"""softgrid and its pure dependencies as one string of bytes, for a Python that has nothing installed.

``make_bundle()`` gives it, and ``boot(expression)`` the text of a program that makes it importable, given a Python
expression for its bytes: from standard input, from a socket, from the script itself. The modules are imported from
memory; nothing is written on the other machine, so nothing is left there either, whatever ends the process.

A bundle is a zlib stream of a JSON object {path: text}, sorted by path: the same files give the same bytes. Our own
docstrings and lines of comment stay at home, a third of it all; the lines keep their numbers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from softgrid._launch.bundle_importer import BundleImporter

LIMIT = 300_000
"""No bundle is larger, in bytes; a test watches over it."""
LEVEL = 6
"""The highest takes three times as long for one per cent less."""
_MAKING = Lock()
METADATA = "softgrid/METADATA"
STAYS = frozenset({"_cli", "_web", "__main__.py"})
"""Parts of softgrid that are of no use to an executor."""

_BOOT = """\
import json, sys, zlib
v = sys.version_info >= (3, 10) or sys.exit("softgrid needs Python 3.10 or newer, this is " + sys.version.split()[0])
b = {expression}
f = json.loads(zlib.decompress(b))
n = {{}}
exec(f["softgrid/_launch/bundle_importer.py"], n)
n["install"](b, f)
"""


def boot(expression: str) -> str:
    """Give the text of a program after which softgrid can be imported.

    *expression* is Python on one line for the bytes of the bundle; it may use json, sys and zlib, and import more by
    ``__import__``. The text has no blank line and no block of several lines, so that it can also be typed at a prompt.
    """
    return _BOOT.format(expression=expression)


def carried_importer() -> BundleImporter | None:
    """Give what this process imports softgrid from when it came as a bundle, or None where it is installed."""
    loader = getattr(sys.modules["softgrid"].__spec__, "loader", None)
    return loader if hasattr(loader, "bundle") else None  # its class was made before this package could be imported


def make_bundle() -> bytes:
    """Give softgrid, cloudpickle and pysimplelog as one string of bytes; made once in a process, whoever asks."""
    with _MAKING:
        return _made()


@lru_cache(maxsize=1)
def _made() -> bytes:
    importer = carried_importer()
    if importer is not None:
        return importer.bundle
    import json
    import zlib

    files = {METADATA: _metadata()}
    own, *others = _packages()
    files.update((path, without_words(text)) for path, text in _modules_of(own))
    for package in others:
        files.update(_modules_of(package))
    text = json.dumps(files, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return zlib.compress(text.encode(), LEVEL)


def _packages() -> list[str]:
    """Give the folders of what executors need."""
    import cloudpickle
    import pysimplelog

    own = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    return [own, *(os.path.dirname(os.path.realpath(str(each.__file__))) for each in (cloudpickle, pysimplelog))]


def _modules_of(package: str) -> Iterator[tuple[str, str]]:
    above = os.path.dirname(package)
    for folder, folders, names in os.walk(package):
        top = folder == package
        folders[:] = [name for name in folders if name != "__pycache__" and not (top and name in STAYS)]
        for name in names:
            if name.endswith(".py") and not (top and name in STAYS):
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8") as file:
                    yield os.path.relpath(path, above).replace(os.sep, "/"), file.read()


def without_words(source: str) -> str:
    """Give one of our modules without docstrings and lines of comment, every other line where it was.

    Knows Python as far as we write it: a string in three quotes that begins a line is a docstring.
    """
    kept: list[str] = []
    inside = dropping = False
    for line in source.split("\n"):
        begun = line.lstrip()
        if inside:
            kept.append("" if dropping else line)
            inside = '"""' not in line
        elif begun.startswith('"""'):
            kept.append(line[: len(line) - len(begun)] + '""')
            inside = dropping = '"""' not in begun[3:]
        elif begun.startswith("#"):
            kept.append("")
        else:
            kept.append(line)
            inside, dropping = line.count('"""') % 2 == 1, False
    return "\n".join(kept)


def _metadata() -> str:
    """Give what the installed package says about itself, without its long description."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        text = distribution("softgrid").read_text("METADATA") or ""
    except PackageNotFoundError:
        text = ""
    return text.partition("\n\n")[0]
