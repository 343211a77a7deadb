"""Named files: what the names stand for, as files are added, replaced, read and popped."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from softgrid._model.errors import BadArgument, Duplicate, Missing
from softgrid._store.files import FileStore, PoppedFile
from softgrid._store.paths import NotRead, NotWritten, OutsideRoot


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(temporary=tmp_path / "temporary", permanent=tmp_path / "permanent")


def write_json(content: object, path: str, indent: int = 0) -> None:
    Path(path).write_text(json.dumps(content, indent=indent), encoding="utf-8")


def read_json(path: str, key: str | None = None) -> object:
    value = json.loads(Path(path).read_text(encoding="utf-8"))
    return value if key is None else value[key]


@pytest.mark.parametrize("content", ["text\r\n", b"\x00\xff"])
def test_text_and_bytes_come_back_as_they_were(store: FileStore, content: object) -> None:
    store.add("f", "a/b", content)
    assert store.get("f") == content


def test_each_root_is_its_own_folder(store: FileStore, tmp_path: Path) -> None:
    store.add("t", "a", "temporary")
    store.add("p", "a", "permanent", root="permanent")
    store.add("x", tmp_path / "x" / "a", "absolute", root=None)
    store.add("y", str(tmp_path / "y"), "absolute too", root="")
    assert (tmp_path / "temporary" / "a").read_text() == "temporary"
    assert (tmp_path / "permanent" / "a").read_text() == "permanent"
    assert (tmp_path / "x" / "a").read_text() == "absolute"
    assert (tmp_path / "y").read_text() == "absolute too"
    assert [store.get(name) for name in store.names()] == [
        "temporary",
        "permanent",
        "absolute",
        "absolute too",
    ]


def test_own_functions_write_and_read(store: FileStore, tmp_path: Path) -> None:
    file = store.add("f", "a.json", {"k": [1]}, writer=write_json, writer_kwargs={"indent": 2}, reader=read_json)
    assert file.location == str(tmp_path / "temporary" / "a.json")
    assert "\n  " in Path(file.location).read_text()
    assert store.get("f") == {"k": [1]}
    assert store.get("f", reader_args=("k",)) == [1]
    assert store.get("f", reader_kwargs={"key": "k"}) == [1]


def test_a_reader_that_raises_leaves_the_file_and_its_name(store: FileStore) -> None:
    store.add("f", "a", "no json", reader=read_json)
    with pytest.raises(NotRead, match="read function of file 'f' raised JSONDecodeError"):
        store.get("f")
    with pytest.raises(NotRead):
        store.pop("f", delete=True)
    assert store.names() == ("f",)


def test_a_writer_that_raises_changes_nothing(store: FileStore, tmp_path: Path) -> None:
    def half(content: object, path: str) -> None:
        Path(path).write_text("half")
        raise OSError(28, "No space left on device")

    store.add("f", "a", "old")
    with pytest.raises(NotWritten, match=r"temporary/a' was not written.*No space left"):
        store.add("f", "a", "new", writer=half)
    with pytest.raises(NotWritten):
        store.add("g", "b", "new", writer=half)
    assert store.names() == ("f",)
    assert store.get("f") == "old"
    assert os.listdir(tmp_path / "temporary") == ["a"]


def test_without_content_an_existing_file_gets_a_name(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    store.add("f", tmp_path / "theirs", root=None)
    store.add("g", tmp_path / "theirs", root=None)
    assert store.get("f") == store.get("g") == "theirs"
    with pytest.raises(BadArgument, match=r"path: got 'none', accepted is .*existing"):
        store.add("h", "none")
    with pytest.raises(BadArgument, match="regular file"):
        store.add("h", tmp_path, root=None)


def test_without_replace_neither_name_nor_file_is_taken_twice(store: FileStore) -> None:
    store.add("f", "a", "old", replace=False)
    with pytest.raises(Duplicate, match="name: got 'f'"):
        store.add("f", "b", "new", replace=False)
    with pytest.raises(Duplicate, match="path: got 'a'"):
        store.add("g", "a", "new", replace=False)
    assert store.names() == ("f",)
    assert store.get("f") == "old"


def test_replacing_a_file_removes_its_other_names(store: FileStore, tmp_path: Path) -> None:
    store.add("f", "d/a", "old")
    store.add("g", "d/a")
    store.add("h", str(tmp_path / "temporary" / "d" / "a"), root=None)
    store.add("other", "b", "other")
    store.add("new", "d//a", "new")
    assert store.names() == ("other", "new")


def test_naming_a_file_again_keeps_its_other_names(store: FileStore) -> None:
    store.add("f", "a", "old")
    store.add("g", "a")
    assert store.names() == ("f", "g")


def test_a_name_can_move_to_another_file(store: FileStore, tmp_path: Path) -> None:
    store.add("f", "a", "first")
    store.add("f", "b", "second")
    assert store.get("f") == "second"
    assert sorted(os.listdir(tmp_path / "temporary")) == ["a", "b"]


def test_pop_gives_what_is_known_and_keeps_the_file(store: FileStore) -> None:
    store.add("f", "a", "text", reader=None)
    popped = store.pop("f")
    assert isinstance(popped, PoppedFile)
    assert (popped.content, popped.file.name, popped.file.path) == ("text", "f", "a")
    assert popped.file.root == "temporary"
    assert Path(popped.file.location).exists()
    assert store.names() == ()


def test_pop_with_delete_takes_the_file_and_all_its_names(store: FileStore) -> None:
    store.add("f", "a", "text")
    store.add("g", "a")
    popped = store.pop("f", delete=True)
    assert isinstance(popped, PoppedFile)
    assert not Path(popped.file.location).exists()
    assert store.names() == ()


def test_a_name_that_is_unknown_or_whose_file_is_gone(store: FileStore) -> None:
    os.unlink(store.add("gone", "a", "text").location)
    for name in ("unknown", "gone"):
        with pytest.raises(Missing, match=f"name: got '{name}'.*mustExist=False"):
            store.get(name)
        assert store.get(name, "default", must_exist=False) == "default"
    with pytest.raises(Missing, match="gone"):
        store.pop("gone")
    assert store.pop("unknown", must_exist=False) is None
    assert store.names() == ()


def test_a_folder_replaced_by_a_link_is_not_followed(store: FileStore, tmp_path: Path) -> None:
    file = store.add("f", "d/a", "text")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a").write_text("secret")
    os.unlink(file.location)
    os.rmdir(tmp_path / "temporary" / "d")
    os.symlink(tmp_path / "elsewhere", tmp_path / "temporary" / "d")
    for call in (store.get, store.pop):
        with pytest.raises(OutsideRoot):
            call("f")


@pytest.mark.parametrize("path", ["../a", "a/../../b", "/etc/passwd", "~/../../a/.."])
def test_paths_that_leave_a_root_are_refused(store: FileStore, path: str) -> None:
    for root in ("temporary", "permanent"):
        with pytest.raises(OutsideRoot, match="path: got"):
            store.add("f", path, "text", root=root)


@pytest.mark.parametrize("path", ["a\0b", "n" * 300, "", "a/", 5, None])
def test_paths_that_are_none_are_refused(store: FileStore, path: object) -> None:
    with pytest.raises(BadArgument, match="path: got"):
        store.add("f", path, "text")  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["relative", "/a/../b", "/a\0", "/" + "n" * 300])
def test_absolute_paths_are_checked_too(store: FileStore, path: str) -> None:
    with pytest.raises(BadArgument, match="path: got"):
        store.add("f", path, "text", root=None)


@pytest.mark.parametrize("root", ["elsewhere", "Temporary", 5, ["temporary"]])
def test_an_unknown_root_is_refused(store: FileStore, root: object) -> None:
    with pytest.raises(BadArgument, match=r"root: got .* 'temporary', 'permanent'"):
        store.add("f", "a", "text", root=root)  # type: ignore[arg-type]


def test_bad_functions_and_contents_are_refused(store: FileStore) -> None:
    with pytest.raises(BadArgument, match="writeFunc: got 'json'"):
        store.add("f", "a", "text", writer="json")  # type: ignore[arg-type]
    with pytest.raises(BadArgument, match="readFunc: got 5"):
        store.add("f", "a", "text", reader=5)  # type: ignore[arg-type]
    with pytest.raises(BadArgument, match="data: got <class 'int'>"):
        store.add("f", "a", 5)
    assert len(store) == 0


def test_what_cannot_be_deleted_keeps_its_names(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    store.add("f", "a", "text")
    store.add("g", "a")
    monkeypatch.setattr(os, "unlink", denied)
    with pytest.raises(NotWritten, match="was not deleted: Operation not permitted"):
        store.pop("f", delete=True)
    assert store.names() == ("f", "g")


def test_of_threads_that_want_one_file_exactly_one_gets_it(store: FileStore) -> None:
    start = threading.Barrier(4)
    won: list[int] = []

    def want(number: int) -> None:
        start.wait()
        for turn in range(10):
            try:
                store.add(f"{number}.{turn}", f"file {turn}", str(number), replace=False)
            except Duplicate:
                continue
            won.append(turn)

    threads = [threading.Thread(target=want, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(10))
    assert all(store.get(name) == name.partition(".")[0] for name in store.names())


def test_a_name_taken_while_its_file_was_written_undoes_the_file(store: FileStore, tmp_path: Path) -> None:
    def slow(content: object, path: str) -> None:
        Path(path).write_text("mine")
        store.add("f", "b", "theirs")

    with pytest.raises(Duplicate, match="name: got 'f'"):
        store.add("f", "a", "mine", writer=slow, replace=False)
    assert store.get("f") == "theirs"
    assert os.listdir(tmp_path / "temporary") == ["b"]


def test_a_name_that_moved_on_while_it_was_popped_stays(store: FileStore) -> None:
    def slow(path: str) -> str:
        store.add("f", "b", "theirs")
        return Path(path).read_text()

    store.add("f", "a", "mine", reader=slow)
    with pytest.raises(Missing):
        store.pop("f", delete=True)
    assert store.get("f") == "theirs"
    assert store.names() == ("f",)


def test_what_a_store_holds_can_be_seen(store: FileStore) -> None:
    store.add("f", "a", "text")
    assert store.statistics().kept == len(store) == 1
    assert repr(store).startswith("FileStore(kept=1, Root(")
