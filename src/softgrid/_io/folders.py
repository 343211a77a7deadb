"""Folders that belong to one process: private ones, made when they are needed, and removed with all that is in them.

Called for what executors keep on disk while they live, by whoever has to see that it goes with them.
"""

from __future__ import annotations

import os
from contextlib import suppress

_PARENTS = ("/tmp", "/var/tmp", "/usr/tmp")


def temporary_parent() -> str:
    """Where temporary files go: what `tempfile` says, which takes longer to import than an executor to fork."""
    given = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")]
    for folder in filter(None, [*given, *_PARENTS]):
        if os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK):
            return os.path.abspath(folder)
    return os.getcwd()


def make_private(path: str) -> None:
    """Make the folder *path* and what is missing above it, for its owner only; harmless when it is there."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
    except FileNotFoundError:
        parent = os.path.dirname(path)
        if parent == path:
            raise
        make_private(parent)
        make_private(path)


def remove_tree(path: str) -> None:
    """Remove *path* and all that is in it, also from folders that forbid it; harmless when it is not there."""
    if not os.path.lexists(path):
        return
    import shutil  # loads all kinds of compression

    with suppress(OSError):
        if os.path.islink(path):
            os.unlink(path)
    shutil.rmtree(path, ignore_errors=True)
    if os.path.lexists(path):
        _permit(path)
        shutil.rmtree(path, ignore_errors=True)


def _permit(folder: str) -> None:
    """Give the owner back what was taken from the folder and those in it; links are left alone."""
    with suppress(OSError):
        os.chmod(folder, 0o700)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    _permit(entry.path)
