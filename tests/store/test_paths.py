"""Relative paths: which ones have no way up or out."""

from __future__ import annotations

from pathlib import Path

import pytest

from softgrid._model.errors import BadArgument
from softgrid._store.paths import OutsideRoot, split_path


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("a", ("a",)),
        ("a/b.txt", ("a", "b.txt")),
        ("a//b", ("a", "b")),
        ("./a/./b", ("a", "b")),
        ("..a/b..", ("..a", "b..")),
        (Path("a/b"), ("a", "b")),
        ("ü/日本", ("ü", "日本")),
        ("n" * 255, ("n" * 255,)),
    ],
)
def test_good_paths_are_cut_into_components(path: object, parts: tuple[str, ...]) -> None:
    assert split_path(path) == parts


@pytest.mark.parametrize("path", ["..", "../a", "a/../b", "a/../../b", "a/..", "/a", "/", "//a"])
def test_paths_that_lead_out_are_refused(path: str) -> None:
    with pytest.raises(OutsideRoot, match="path: got"):
        split_path(path)


@pytest.mark.parametrize(
    "path",
    ["", ".", "a/", "a/.", "a\0b", "n" * 300, "a/" + "n" * 300, "ü" * 128, "\ud800", None, 5, b"a"],
)
def test_what_is_no_path_to_a_file_is_refused(path: object) -> None:
    with pytest.raises(BadArgument, match="path: got") as caught:
        split_path(path)
    assert not isinstance(caught.value, OutsideRoot)


def test_the_error_names_the_parameter_that_was_given() -> None:
    with pytest.raises(OutsideRoot, match="relative_root: got"):
        split_path("../a", "relative_root")
