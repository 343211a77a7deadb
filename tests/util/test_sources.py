"""`read_files`: what of a module or package comes along, and what is refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from softgrid._util.sources import read_files


@pytest.fixture
def package(tmp_path: Path) -> Path:
    root = tmp_path / "mine"
    for path in (
        "__init__.py",
        "fast.pyx",
        "fast.c++",
        "fast.so",
        "old.pyc",
        "read.me",
        "9lives.py",
        "trickypy",
        "sub/deep.py",
        "sub/__pycache__/deep.py",
        "docs/conf.py",
        ".git/hook.py",
        "data/table.csv",
        "data/raw/1.bin",
    ):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(path.encode())
    return root


def paths_of(package: Path, **kwargs: object) -> list[str]:
    return list(read_files(package, **kwargs)["files"])  # type: ignore[arg-type]


def test_a_package_comes_with_its_sources_and_their_bytes(package: Path) -> None:
    assert read_files(package) == {
        "name": "mine",
        "type": "package",
        "files": {
            "mine/__init__.py": b"__init__.py",
            "mine/fast.c++": b"fast.c++",
            "mine/fast.pyx": b"fast.pyx",
            "mine/sub/deep.py": b"sub/deep.py",
        },
    }


def test_a_module_comes_as_its_one_file(package: Path) -> None:
    assert read_files(str(package / "sub/deep.py")) == {
        "name": "deep",
        "type": "module",
        "files": {"deep.py": b"sub/deep.py"},
    }


def test_the_dot_before_a_suffix_is_a_dot(package: Path) -> None:
    (package / "lasso").write_bytes(b"ends like a compiled file")
    assert "mine/trickypy" not in paths_of(package)
    assert "mine/lasso" in paths_of(package, accept_files=())


def test_the_answer_is_made_of_builtin_types_and_pickles(package: Path) -> None:
    sources = read_files(package)
    assert type(sources) is dict
    assert pickle.loads(pickle.dumps(sources)) == sources


def test_the_order_of_files_does_not_depend_on_the_disk(package: Path) -> None:
    paths = paths_of(package, reject_files=(), accept_files=())
    assert paths == sorted(paths)


def test_a_trailing_slash_and_a_relative_path_change_nothing(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read_files(package)
    assert read_files(f"{package}{os.sep}") == expected
    monkeypatch.chdir(package)
    assert read_files(".") == expected


def test_empty_lists_let_everything_through(package: Path) -> None:
    paths = paths_of(package, reject_files=[], accept_files=(), reject_folders=set(), accept_folders=[])
    assert len(paths) == 14


def test_reject_wins_over_accept(package: Path) -> None:
    assert paths_of(package, accept_files=[r"\.py$"], reject_files={"^deep"}) == [
        "mine/9lives.py",
        "mine/__init__.py",
    ]


def test_a_rejected_folder_takes_its_content_with_it(package: Path) -> None:
    assert "mine/sub/deep.py" not in paths_of(package, reject_folders=["^sub$"])


def test_only_accepted_folders_are_walked(package: Path) -> None:
    paths = paths_of(package, accept_folders=["^docs$"], reject_folders=())
    assert "mine/docs/conf.py" in paths
    assert "mine/sub/deep.py" not in paths


def test_the_patterns_for_folders_do_not_apply_to_the_package_itself(package: Path) -> None:
    assert paths_of(package / "docs") == ["docs/conf.py"]


@pytest.mark.parametrize(
    ("data_files", "expected"),
    [
        (["data/table.csv"], ["mine/data/table.csv"]),
        (["data"], ["mine/data/raw/1.bin", "mine/data/table.csv"]),
        (["sub/../read.me"], ["mine/read.me"]),
        (["__init__.py"], []),
    ],
)
def test_data_files_come_along_whatever_the_patterns_say(
    package: Path, data_files: list[str], expected: list[str]
) -> None:
    plain = paths_of(package)
    assert paths_of(package, data_files=data_files) == sorted(plain + expected)


@pytest.mark.parametrize("data_file", ["../other.txt", "/etc/hostname", "data/../../other.txt"])
def test_data_files_outside_of_the_package_are_refused(package: Path, data_file: str) -> None:
    (package.parent / "other.txt").touch()
    with pytest.raises((ValueError, FileNotFoundError), match=r"outside of the package|not exist"):
        read_files(package, data_files=[data_file])


def test_a_missing_data_file_is_named(package: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"dataFiles names 'data/none\.csv'"):
        read_files(package, data_files=["data/none.csv"])


def test_data_files_of_a_single_file_are_refused(package: Path) -> None:
    with pytest.raises(ValueError, match="only a folder can bring data files"):
        read_files(package / "__init__.py", data_files=["data"])


def test_a_link_that_stays_inside_is_read_like_a_file(package: Path) -> None:
    (package / "alias.py").symlink_to("sub/deep.py")
    assert read_files(package)["files"]["mine/alias.py"] == b"sub/deep.py"


@pytest.mark.parametrize("name", ["leak.py", "leak"])
def test_a_link_that_leaves_the_package_is_refused(package: Path, name: str) -> None:
    outside = package.parent / "mine_too"  # its path begins like that of the package
    outside.mkdir()
    (outside / "leak.py").touch()
    (package / name).symlink_to(outside / "leak.py" if name == "leak.py" else outside)
    with pytest.raises(ValueError, match="outside of the package"):
        read_files(package)


def test_a_link_that_leaves_the_package_is_no_matter_when_its_name_is_refused(
    package: Path,
) -> None:
    (package / "leak.txt").symlink_to(package.parent)
    assert "mine/leak.txt" not in paths_of(package)


def test_a_link_to_a_folder_above_is_refused_instead_of_walked_for_ever(package: Path) -> None:
    (package / "sub" / "again").symlink_to("..")
    with pytest.raises(ValueError, match="link to a folder that holds it"):
        read_files(package)


def test_a_link_to_nothing_is_named_with_its_target(package: Path) -> None:
    (package / "gone.py").symlink_to("nowhere.py")
    with pytest.raises(FileNotFoundError, match=r"gone\.py.*nowhere\.py"):
        read_files(package)


def test_a_package_may_itself_be_reached_over_a_link(package: Path) -> None:
    (package.parent / "short").symlink_to(package)
    sources = read_files(package.parent / "short")
    assert sources["name"] == "short"
    assert sources["files"]["short/__init__.py"] == b"__init__.py"


def test_a_pipe_is_refused_and_not_waited_for(package: Path) -> None:
    os.mkfifo(package / "pipe.py")
    with pytest.raises(ValueError, match="no regular file"):
        read_files(package)


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing_here' does not exist"):
        read_files(tmp_path / "nothing_here")


def test_a_path_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="path is 7"):
        read_files(7)  # type: ignore[arg-type]


def test_a_module_whose_name_is_refused_is_an_error(package: Path) -> None:
    with pytest.raises(ValueError, match="name rejectFiles or acceptFiles refuse"):
        read_files(package / "fast.so")


def test_a_package_of_which_nothing_is_left_is_an_error(package: Path) -> None:
    with pytest.raises(ValueError, match="nothing that may come along"):
        read_files(package, accept_files=["^never$"])


@pytest.mark.parametrize("parameter", ["reject_files", "accept_files", "reject_folders", "accept_folders"])
def test_a_bad_regular_expression_is_quoted_with_the_parameter_that_users_know(package: Path, parameter: str) -> None:
    first, second = parameter.split("_")
    with pytest.raises(ValueError, match=rf"{first}{second.title()} holds '\[a-', which is no regular"):
        read_files(package, **{parameter: ["[a-"]})  # type: ignore[arg-type]


@pytest.mark.parametrize("patterns", ["^a$", None, 5])
def test_one_text_instead_of_a_list_of_texts_is_refused(package: Path, patterns: object) -> None:
    with pytest.raises(TypeError, match=r"acceptFiles is .*: a list, tuple or set"):
        read_files(package, accept_files=patterns)  # type: ignore[arg-type]


def test_something_else_than_text_in_a_list_is_refused(package: Path) -> None:
    with pytest.raises(TypeError, match="rejectFolders holds 5"):
        read_files(package, reject_folders=[5])  # type: ignore[list-item]
