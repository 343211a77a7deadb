"""A folder that nothing written below it can leave, and writes that happen whole or not at all.

The stores of files, packages and tables go through here for every path that a user or a peer
gave.  Folders are entered one component at a time by descriptor, never through a symbolic link,
so a link planted between the check and the use leads nowhere.  Knows nothing of names and formats.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from softgrid._model.errors import BadArgument, Duplicate
from softgrid._store.paths import NotRead, NotWritten, OutsideRoot, checked_text, split_path
from softgrid._store.staging import FOLDER, staging

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe must not block us
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS)


class Root:
    """One folder, and what may be done below it. Paths are relative to it, with `/` in between."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.realpath(os.fspath(path))

    @classmethod
    def of_absolute(cls, path: object, parameter: str = "path") -> tuple[Root, str]:
        """Give an existing folder that holds the absolute *path*, and the rest of the path.

        An absolute path means what it means to the system, so links in it are followed first.
        """
        text = checked_text(path, parameter)
        if not os.path.isabs(text):
            raise BadArgument(parameter, path, "an absolute path, or a root that it is relative to")
        split_path(text.lstrip("/"), parameter)
        real = os.path.realpath(text)
        base = os.path.dirname(real)
        while not os.path.isdir(base):
            base = os.path.dirname(base)
        return cls(base), os.path.relpath(real, base)

    def locate(self, path: object) -> str:
        """The checked absolute form of *path*, whether it exists or not; touches no disk."""
        return os.path.join(self.path, *split_path(path))

    def write(self, path: object, produce: Callable[[str], object], *, replace: bool) -> None:
        """Make the file at *path* from what `produce(temporary_path)` leaves behind.

        The temporary path has the same last component, so functions that look at it work. The
        file appears at once and whole, with mode 0600, and is on disk when this returns; when
        anything fails nothing is left.  Raises Duplicate for an existing file without *replace*.
        """
        *parents, name = split_path(path)
        with _reported(self.locate(path)), self.folder(parents, create=True) as folder:
            _check_target(folder, name, path, replace)
            with staging(folder, os.path.join(self.path, *parents)) as staged:
                produce(os.path.join(staged, name))
                _settle(staged, name)
                _move_file(os.path.join(staged, name), folder, name, replace)
            os.fsync(folder)

    @contextmanager
    def opened(self, path: object) -> Iterator[int]:
        """A descriptor of the regular file at *path*; FileNotFoundError when there is none."""
        *parents, name = split_path(path)
        try:
            with self.folder(parents) as folder:
                descriptor = _open_file(folder, name, path)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise NotRead(f"{self.locate(path)!r} cannot be opened: {error.strerror}") from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BadArgument("path", path, "the path of a regular file")
            yield descriptor
        finally:
            os.close(descriptor)

    def remove(self, path: object) -> None:
        """Delete the file at *path*, if it is there."""
        *parents, name = split_path(path)
        with suppress(FileNotFoundError), self.folder(parents) as folder:
            os.unlink(name, dir_fd=folder)

    @contextmanager
    def folder(self, parts: Sequence[str], *, create: bool = False) -> Iterator[int]:
        """A descriptor of the folder at *parts*, reached without following a link."""
        if create:
            os.makedirs(self.path, mode=0o700, exist_ok=True)
        here = os.open(self.path, FOLDER)
        try:
            for part in parts:
                inner = _enter(here, part, "/".join(parts), create)
                os.close(here)
                here = inner
            yield here
        finally:
            os.close(here)

    def __repr__(self) -> str:
        return f"Root({self.path!r})"


def write_private(path: str, content: bytes) -> None:
    """Make a new file at *path* with mode 0600, for its owner only."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def not_written(path: str, error: BaseException) -> NotWritten:
    """The error that says what could not be written, and why."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
    return NotWritten(f"{path!r} was not written, and nothing of it was kept: {reason}")


@contextmanager
def _reported(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise not_written(path, error) from error


def _enter(folder: int, part: str, path: str, create: bool) -> int:
    if create:
        with suppress(FileExistsError):
            os.mkdir(part, 0o700, dir_fd=folder)
    try:
        return os.open(part, FOLDER, dir_fd=folder)
    except OSError as error:
        # Which of the two a link gives differs between systems.
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        if stat.S_ISLNK(os.lstat(part, dir_fd=folder).st_mode):
            accepted = f"no symbolic link on the way ({part!r} is one)"
            raise OutsideRoot("path", path, accepted) from None
        raise BadArgument("path", path, f"folders on the way ({part!r} is a file)") from None


def _open_file(folder: int, name: str, path: object) -> int:
    try:
        return os.open(name, _FILE, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EMLINK):
            raise
        raise OutsideRoot("path", path, "a file that is no symbolic link") from None


def _check_target(folder: int, name: str, path: object, replace: bool) -> None:
    try:
        mode = os.lstat(name, dir_fd=folder).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise BadArgument("path", path, "the path of a file (this is a folder)")
    if not replace:
        raise Duplicate("path", path, "a path where no file is yet, or replace=True")


def _settle(staged: str, name: str) -> None:
    """Check that a regular file was made, and put it on disk with mode 0600."""
    try:
        descriptor = os.open(os.path.join(staged, name), _FILE)
    except FileNotFoundError:
        others = sorted(os.listdir(staged))
        made = f"it made {others} instead" if others else "it made nothing"
        raise NotWritten(f"the write function left no file {name!r}: {made}") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotWritten(f"the write function left no regular file {name!r}")
        os.fchmod(descriptor, 0o600)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move_file(source: str, folder: int, name: str, replace: bool) -> None:
    if replace:
        os.rename(source, name, dst_dir_fd=folder)
        return
    try:
        os.link(source, name, dst_dir_fd=folder)  # unlike rename, this never replaces
    except FileExistsError:
        raise Duplicate("path", name, "a path where no file is yet, or replace=True") from None
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _check_target(folder, name, name, replace)
        os.rename(source, name, dst_dir_fd=folder)
