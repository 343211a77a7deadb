"""What is known of a named file, and how its content gets to disk and back.

Called by `files`.  Texts and bytes come back as what they were; everything else goes through the
user's own functions, whose failures are wrapped here and nowhere else.  Decides nothing about
names, and opens only what `roots` has opened or staged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from softgrid._model.errors import BadArgument
from softgrid._store.paths import NotRead
from softgrid._store.roots import not_written, write_private

Writer = Callable[..., object]
Reader = Callable[..., object]


class StoredFile(NamedTuple):
    """What is known of one file; *location* is absolute, all else is as it was given."""

    name: str
    path: str
    root: str | None
    location: str
    is_binary: bool = False
    writer: Writer | None = None
    writer_args: Sequence[Any] | None = None
    writer_kwargs: Mapping[str, Any] | None = None
    reader: Reader | None = None


def producer(file: StoredFile, content: object) -> Callable[[str], None]:
    """A function that writes *content* to the path it is given."""
    writer, args, kwargs = file.writer, file.writer_args or (), file.writer_kwargs or {}
    if writer is None:
        raw = _plain_bytes(content)
        return lambda path: write_private(path, raw)

    def produce(path: str) -> None:
        try:
            writer(content, path, *args, **kwargs)
        except (Exception, SystemExit) as error:
            raise not_written(file.location, error) from error

    return produce


def _plain_bytes(content: object) -> bytes:
    if isinstance(content, str):
        return content.encode("utf-8", "surrogatepass")
    if isinstance(content, (bytes, bytearray, memoryview)):
        return bytes(content)
    raise BadArgument("data", type(content), "text or bytes, or anything with a writeFunc for it")


def read_plain(file: StoredFile, descriptor: int) -> object:
    """The text or the bytes in the open file, whichever it was made of."""
    with open(descriptor, "rb", closefd=False) as stream:
        raw = stream.read()
    if file.is_binary:
        return raw
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise NotRead(
            f"file {file.name!r} ({file.location!r}) is no UTF-8 text (byte {error.start}): add it with a readFunc"
        ) from error


def read_with(reader: Reader, file: StoredFile, path: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> object:
    """What the user's *reader* makes of the file; raises NotRead when it raises."""
    try:
        return reader(path, *args, **kwargs)
    except (Exception, SystemExit) as error:
        raise NotRead(f"the read function of file {file.name!r} raised {error!r}") from error


def check_function(parameter: str, function: object, called_as: str) -> None:
    """Raise BadArgument for what cannot be called."""
    if function is not None and not callable(function):
        raise BadArgument(parameter, function, f"None or a function called as {called_as}")
