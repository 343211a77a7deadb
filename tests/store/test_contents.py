"""Contents of files to disk and back, and what is said when a user's function fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from softgrid._model.errors import BadArgument
from softgrid._store.contents import StoredFile, check_function, producer, read_plain, read_with
from softgrid._store.paths import NotRead, NotWritten


def stored(**changes: object) -> StoredFile:
    known = {"name": "n", "path": "p", "root": "temporary", "location": "/somewhere/p"}
    return StoredFile(**{**known, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("content", ["", "line\r\nline\n\rü日本\0", "\ud800"])
def test_texts_come_back_to_the_character(tmp_path: Path, content: str) -> None:
    producer(stored(), content)(str(tmp_path / "p"))
    with open(tmp_path / "p", "rb") as file:
        assert read_plain(stored(), file.fileno()) == content


@pytest.mark.parametrize("content", [b"", b"\x00\xff", bytearray(b"ab"), memoryview(b"abcd")[::2]])
def test_bytes_come_back_as_bytes(tmp_path: Path, content: object) -> None:
    producer(stored(is_binary=True), content)(str(tmp_path / "p"))
    with open(tmp_path / "p", "rb") as file:
        assert read_plain(stored(is_binary=True), file.fileno()) == bytes(content)  # type: ignore[call-overload]


@pytest.mark.parametrize("content", [5, {"a": 1}, ["a"], object()])
def test_anything_else_needs_a_writer(content: object) -> None:
    with pytest.raises(BadArgument, match=r"data: got .* writeFunc"):
        producer(stored(), content)


def test_bytes_that_are_no_text_ask_for_a_reader(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"ab\xff")
    with (
        open(tmp_path / "p", "rb") as file,
        pytest.raises(NotRead, match=r"'n' \('/somewhere/p'\) .*\(byte 2\): add it with a read"),
    ):
        read_plain(stored(), file.fileno())


def test_functions_get_their_arguments() -> None:
    seen: list[object] = []

    def write(*args: object, **kwargs: object) -> None:
        seen.append((args, kwargs))

    def read(*args: object, **kwargs: object) -> object:
        return args, kwargs

    producer(stored(writer=write, writer_args=(1, 2), writer_kwargs={"three": 3}), {"a": 1})("/staged/p")
    assert seen == [(({"a": 1}, "/staged/p", 1, 2), {"three": 3})]
    assert read_with(read, stored(), "/p", (1, 2), {"three": 3}) == (("/p", 1, 2), {"three": 3})


def test_the_failure_of_a_function_is_told_with_its_cause() -> None:
    def fail(*_: object) -> None:
        raise ValueError("no good")

    def leave(*_: object) -> None:
        raise SystemExit(3)

    with pytest.raises(NotWritten, match=r"'/somewhere/p' was not written.*ValueError\('no good'"):
        producer(stored(writer=fail), "x")("/staged/p")
    with pytest.raises(NotWritten, match=r"SystemExit\(3\)"):
        producer(stored(writer=leave), "x")("/staged/p")
    with pytest.raises(NotRead, match=r"read function of file 'n' raised ValueError") as caught:
        read_with(fail, stored(), "/p", (), {})
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(NotRead, match="SystemExit"):
        read_with(leave, stored(), "/p", (), {})


def test_only_what_can_be_called_is_a_function() -> None:
    check_function("writer", None, "(content, path)")
    check_function("writer", print, "(content, path)")
    with pytest.raises(BadArgument, match=r"writer: got 'json', accepted is .*\(content, path\)"):
        check_function("writer", "json", "(content, path)")
