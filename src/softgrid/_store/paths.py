"""What a path from a user or a peer may look like before any disk is asked, and what goes wrong.

Called by `roots` and `packages`.  A relative path that passes `split_path` has no way up or out;
whether the folders on its way are links is for `roots` to find out.  Touches no disk.
"""

from __future__ import annotations

import os

from softgrid._model.errors import BadArgument, SoftgridError

LONGEST_NAME = 255


class OutsideRoot(BadArgument):
    """A path that leaves, or could be made to leave, the folder it belongs to."""


class NotWritten(SoftgridError):
    """Something could not be written to disk; nothing of it was kept."""


class NotRead(SoftgridError):
    """Something on disk could not be read, or not understood."""


def split_path(path: object, parameter: str = "path") -> tuple[str, ...]:
    """The components of a relative path to a file; raises for one that could lead elsewhere."""
    text = checked_text(path, parameter)
    if os.path.isabs(text):
        raise OutsideRoot(parameter, path, "a relative path here: the root is given apart")
    parts = tuple(part for part in text.split("/") if part not in ("", "."))
    if ".." in parts:
        raise OutsideRoot(parameter, path, "a path without '..'")
    if not parts or text.endswith(("/", "/.")):
        raise BadArgument(parameter, path, "a path that ends in the name of a file")
    for part in parts:
        if len(_encoded(part, parameter, path)) > LONGEST_NAME:
            raise BadArgument(parameter, path, f"components of at most {LONGEST_NAME} bytes")
    return parts


def checked_text(path: object, parameter: str) -> str:
    """The path as text; raises BadArgument for what no system takes as one."""
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str) or not text:
        raise BadArgument(parameter, path, "a path as text of at least one character")
    if "\0" in text:
        raise BadArgument(parameter, path, "a path without NUL characters")
    return text


def _encoded(part: str, parameter: str, path: object) -> bytes:
    try:
        return os.fsencode(part)
    except UnicodeEncodeError:
        raise BadArgument(parameter, path, "characters that a file name can have") from None
