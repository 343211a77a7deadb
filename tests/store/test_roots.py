"""Writing whole or not at all, and never outside of the folder, on real disks."""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from softgrid._model.errors import BadArgument, Duplicate
from softgrid._store import roots
from softgrid._store.paths import NotRead, NotWritten, OutsideRoot
from softgrid._store.roots import Root, write_private


def writing(content: bytes) -> Callable[[str], None]:
    return lambda path: write_private(path, content)


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path / "root")


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_file_and_its_folders_are_private(root: Root, umask: None) -> None:
    root.write("a/b/c", writing(b"content"), replace=True)
    path = Path(root.locate("a/b/c"))
    assert path.read_bytes() == b"content"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in (path.parent, path.parent.parent, Path(root.path)):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_file_that_was_made_open_to_all_is_private_in_the_end(root: Root, umask: None) -> None:
    root.write("a", lambda path: Path(path).write_text("x"), replace=True)
    assert stat.S_IMODE(os.stat(root.locate("a")).st_mode) == 0o600


def test_the_temporary_path_ends_like_the_true_one(root: Root) -> None:
    seen: list[str] = []

    def produce(path: str) -> None:
        seen.append(path)
        Path(path).write_text("x")

    root.write("a/table.csv.gz", produce, replace=True)
    assert Path(seen[0]).name == "table.csv.gz"
    assert seen[0] != root.locate("a/table.csv.gz")


def test_nothing_but_the_file_is_left_behind(root: Root, tmp_path: Path) -> None:
    def produce(path: str) -> None:
        Path(path).write_text("x")
        Path(path + ".lock").write_text("left by the writer")

    root.write("a/b", produce, replace=True)
    assert tree(tmp_path) == ["root", "root/a", "root/a/b"]


def test_the_old_file_is_there_until_the_new_one_is_whole(root: Root) -> None:
    root.write("a", writing(b"old"), replace=True)
    seen: list[bytes] = []

    def produce(path: str) -> None:
        Path(path).write_bytes(b"new, half writ")
        seen.append(Path(root.locate("a")).read_bytes())
        Path(path).write_bytes(b"new, whole")

    root.write("a", produce, replace=True)
    assert seen == [b"old"]
    assert Path(root.locate("a")).read_bytes() == b"new, whole"


def test_a_reader_of_the_old_file_is_not_disturbed(root: Root) -> None:
    root.write("a", writing(b"old"), replace=True)
    with root.opened("a") as descriptor:
        root.write("a", writing(b"new"), replace=True)
        assert os.read(descriptor, 10) == b"old"


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
def test_after_a_failure_all_is_as_before(root: Root, tmp_path: Path, error: BaseException) -> None:
    root.write("a", writing(b"old"), replace=True)

    def produce(path: str) -> None:
        Path(path).write_bytes(b"half")
        raise error

    with pytest.raises(type(error)):
        root.write("a", produce, replace=True)
    with pytest.raises(type(error)):
        root.write("other", produce, replace=True)
    assert tree(tmp_path) == ["root", "root/a"]
    assert Path(root.locate("a")).read_bytes() == b"old"


def test_a_full_disk_leaves_nothing_half_written(root: Root, tmp_path: Path) -> None:
    root.write("a", writing(b"old"), replace=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # the kernel refuses, as a full disk
    try:
        with pytest.raises(NotWritten, match=r"root/a' was not written.*: File too large"):
            root.write("a", writing(b"x" * 100_000), replace=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert tree(tmp_path) == ["root", "root/a"]
    assert Path(root.locate("a")).read_bytes() == b"old"


def test_a_disk_that_is_full_only_when_flushed_leaves_nothing(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(roots.os, "fsync", full)
    with pytest.raises(NotWritten, match="No space left on device") as caught:
        root.write("a", writing(b"content"), replace=True)
    assert isinstance(caught.value.__cause__, OSError)
    assert tree(tmp_path) == ["root"]


def test_without_replace_an_existing_file_stays(root: Root) -> None:
    root.write("a", writing(b"old"), replace=False)
    with pytest.raises(Duplicate, match=r"path: got 'a'.*replace=True"):
        root.write("a", writing(b"new"), replace=False)
    assert Path(root.locate("a")).read_bytes() == b"old"


def test_without_replace_the_writer_is_not_even_called(root: Root) -> None:
    root.write("a", writing(b"old"), replace=True)
    with pytest.raises(Duplicate):
        root.write("a", lambda path: pytest.fail("called"), replace=False)


def test_a_file_that_appears_while_writing_is_not_replaced(root: Root) -> None:
    def produce(path: str) -> None:
        Path(path).write_text("mine")
        Path(root.locate("a")).write_text("theirs")

    with pytest.raises(Duplicate):
        root.write("a", produce, replace=False)
    assert Path(root.locate("a")).read_text() == "theirs"


@pytest.mark.parametrize("appears", [False, True])
def test_where_there_are_no_hard_links_renaming_serves(
    root: Root, monkeypatch: pytest.MonkeyPatch, appears: bool
) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(roots.os, "link", no_links)

    def produce(path: str) -> None:
        Path(path).write_text("mine")
        if appears:
            Path(root.locate("a")).write_text("theirs")

    if appears:
        with pytest.raises(Duplicate):
            root.write("a", produce, replace=False)
    else:
        root.write("a", produce, replace=False)
    assert Path(root.locate("a")).read_text() == ("theirs" if appears else "mine")


def test_a_writer_that_makes_no_file_is_told_what_it_made(root: Root) -> None:
    with pytest.raises(NotWritten, match=r"no file 'a': it made nothing"):
        root.write("a", lambda path: None, replace=True)
    with pytest.raises(NotWritten, match=r"no file 'a': it made \['a.npy'\] instead"):
        root.write("a", lambda path: Path(path + ".npy").write_text("x"), replace=True)
    with pytest.raises(NotWritten, match="no regular file 'a'"):
        root.write("a", lambda path: Path(path).mkdir(), replace=True)


def test_a_writer_cannot_leave_a_link(root: Root, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(NotWritten):
        root.write("a", lambda path: os.symlink(tmp_path / "secret", path), replace=True)
    assert tree(tmp_path) == ["root", "secret"]


def test_a_folder_is_no_place_for_a_file(root: Root) -> None:
    root.write("a/b", writing(b""), replace=True)
    with pytest.raises(BadArgument, match="this is a folder"):
        root.write("a", writing(b""), replace=True)


def test_a_file_on_the_way_is_no_folder(root: Root) -> None:
    root.write("a", writing(b""), replace=True)
    with pytest.raises(BadArgument, match="'a' is a file"):
        root.write("a/b", writing(b""), replace=True)


@pytest.mark.parametrize("link", ["out", "inner/out"])
def test_a_link_on_the_way_is_never_followed(root: Root, tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    place = Path(root.path) / link
    place.parent.mkdir(parents=True)
    place.symlink_to(outside)
    with pytest.raises(OutsideRoot, match="'out' is one"):
        root.write(f"{link}/new", writing(b""), replace=True)
    with pytest.raises(OutsideRoot), root.opened(f"{link}/secret"):
        pass
    with pytest.raises(OutsideRoot):
        root.remove(f"{link}/secret")
    assert tree(outside) == ["secret"]


def test_a_link_at_the_end_is_not_read_but_replaced(root: Root, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    Path(root.path).mkdir()
    Path(root.path, "a").symlink_to(secret)
    with pytest.raises(OutsideRoot, match="no symbolic link"), root.opened("a"):
        pass
    root.write("a", writing(b"new"), replace=True)
    assert secret.read_text() == "secret"
    assert not Path(root.path, "a").is_symlink()


def test_a_hard_link_is_replaced_and_not_written_through(root: Root, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("theirs")
    Path(root.path).mkdir()
    os.link(outside, root.locate("a"))
    root.write("a", writing(b"mine"), replace=True)
    assert outside.read_text() == "theirs"


def test_a_pipe_is_refused_and_does_not_block(root: Root) -> None:
    Path(root.path).mkdir()
    os.mkfifo(root.locate("pipe"))
    with pytest.raises(BadArgument, match="regular file"), root.opened("pipe"):
        pass


def test_what_is_not_there_is_not_found(root: Root) -> None:
    for path in ("a", "a/b"):
        with pytest.raises(FileNotFoundError), root.opened(path):
            pass
    root.remove("a/b")


def test_a_path_too_long_for_the_system_is_told(root: Root) -> None:
    path = "/".join(["n" * 200] * 30)
    with pytest.raises(NotWritten, match="File name too long"):
        root.write(path, writing(b""), replace=True)
    with pytest.raises(FileNotFoundError), root.opened(path):
        pass


def test_what_the_system_will_not_open_is_not_read(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(roots.os, "open", denied)
    with pytest.raises(NotRead, match=r"'.*root/a' cannot be opened: Permission denied"):
        root.opened("a").__enter__()


def test_an_absolute_path_follows_links_and_makes_folders(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    folder, relative = Root.of_absolute(str(tmp_path / "link" / "new" / "file"))
    folder.write(relative, writing(b"x"), replace=True)
    assert (tmp_path / "real" / "new" / "file").read_bytes() == b"x"
    assert folder.locate(relative) == str(tmp_path / "real" / "new" / "file")


def test_folders_made_for_an_absolute_path_are_all_private(tmp_path: Path, umask: None) -> None:
    folder, relative = Root.of_absolute(tmp_path / "a" / "b" / "c" / "file")
    folder.write(relative, writing(b"x"), replace=True)
    for made in ("a", "a/b", "a/b/c"):
        assert stat.S_IMODE((tmp_path / made).stat().st_mode) == 0o700


@pytest.mark.parametrize("path", ["relative", "/a/../b", "/a\0", "/", "", 5, "/" + "n" * 300])
def test_bad_absolute_paths_are_refused(path: object) -> None:
    with pytest.raises(BadArgument, match="path: got"):
        Root.of_absolute(path)


def test_no_descriptor_is_left_open(root: Root) -> None:
    root.write("a/b/c", writing(b"x"), replace=True)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        root.write("a/b/c", writing(b"x"), replace=True)
        with root.opened("a/b/c"):
            pass
        with pytest.raises(FileNotFoundError), root.opened("a/b/d"):
            pass
        with pytest.raises(BadArgument):
            root.write("a/b/c/d", writing(b"x"), replace=True)
    assert len(os.listdir("/proc/self/fd")) == before
