"""Typed tables on disk: dumped whole, pulled whole, iterated, and refused with a reason."""

from __future__ import annotations

import os
import resource
import stat
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._model.errors import BadArgument, Duplicate
from softgrid._store.columns import MalformedTable
from softgrid._store.ddfs import DelimitedTables
from softgrid._store.paths import NotRead, NotWritten, OutsideRoot

ALL = [str, int, float, list, tuple, dict]
ROW = ["text", 1, 0.1, [1, "a"], (1, ("a",)), {"a": [None]}]
TEXTS = st.text() | st.text(alphabet='\x01\x02,"\r\n\0\\a \ud800')
CELLS = (
    TEXTS,
    st.integers(),
    st.floats(allow_nan=False),
    st.lists(TEXTS | st.integers(), max_size=3),
    st.lists(TEXTS | st.integers(), max_size=3).map(tuple),
    st.dictionaries(TEXTS | st.integers(), TEXTS, max_size=3),
)


def raw(path: Path, name: str = "t") -> bytes:
    return (path / name).read_bytes()


@PROPERTY
@given(
    separator=st.sampled_from(["\x01", ",", "\t", ";", " ", "1", "-", "n", "ü", "\\"]),
    rows=st.lists(st.tuples(*(st.none() | cells for cells in CELLS)).map(list), max_size=8),
)
def test_what_goes_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory, separator: str, rows: list[list[Any]]
) -> None:
    tables = DelimitedTables(tmp_path_factory.getbasetemp() / "ddfs", ALL, separator=separator)
    assert tables.dump("t", rows) == len(rows)
    header, found = tables.pull("t")
    assert header == [f"column_{number}" for number in range(1, 7)]
    assert found == rows
    assert list(map(repr, found)) == list(map(repr, rows))


@pytest.mark.parametrize("value", ["", ",", '"', "\n", "\r", "\r\n", "\0", "ü日本", "\x01", None])
def test_one_column_keeps_every_kind_of_value(tmp_path: Path, value: str | None) -> None:
    tables = DelimitedTables(tmp_path, str)
    tables.dump("t", [[value], ["x"], [value]])
    assert tables.pull("t")[1] == [[value], ["x"], [value]]


def test_a_null_is_an_empty_field_on_disk(tmp_path: Path) -> None:
    for null in (None, "NA", -1):
        tables = DelimitedTables(tmp_path, [int, str, int], separator=",", null=null)
        tables.dump("t", [[1, "", null], [null, "x", null]])
        assert raw(tmp_path) == b"column_1,column_2,column_3\n1,\x02,\n,x,\n"
        assert tables.pull("t")[1] == [[1, "", null], [null, "x", null]]


def test_the_usual_separator_is_control_a(tmp_path: Path) -> None:
    DelimitedTables(tmp_path, int).dump("t", [[1, 2]])
    assert raw(tmp_path) == b"column_1\x01column_2\n1\x012\n"


def test_one_type_is_that_of_all_columns(tmp_path: Path) -> None:
    tables = DelimitedTables(tmp_path, float)
    tables.dump("wide", [[1.0, 2.0, 3.0]])
    tables.dump("narrow", [[1.0]])
    assert tables.pull("wide")[1] == [[1.0, 2.0, 3.0]]
    assert tables.pull("narrow")[1] == [[1.0]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
def test_arrays_of_two_dimensions_are_tables(tmp_path: Path, dtype: Any) -> None:
    array = (np.random.default_rng(0).random((5000, 3)) * 200).astype(dtype)
    tables = DelimitedTables(tmp_path, float if array.dtype.kind == "f" else int)
    assert tables.dump("t", array) == 5000
    assert (np.array(tables.pull("t")[1], dtype) == array).all()


def test_the_header_comes_from_the_call_or_from_the_column_names(tmp_path: Path) -> None:
    plain = DelimitedTables(tmp_path, int)
    plain.dump("t", [[1, 2]], header=["a,\n", ""])
    assert plain.pull("t") == (["a,\n", ""], [[1, 2]])
    named = DelimitedTables(tmp_path, int, column_names=("x", "y"))
    named.dump("t", [[1, 2]])
    assert named.pull("t") == (["x", "y"], [[1, 2]])
    named.dump("t", [[3, 4]], header=["x", "y"])
    with pytest.raises(BadArgument, match=r"header: got \['x', 'z'\], .*column names"):
        named.dump("t", [[5, 6]], header=["x", "z"])
    assert named.pull("t") == (["x", "y"], [[3, 4]])


def test_a_file_with_other_columns_is_refused(tmp_path: Path) -> None:
    DelimitedTables(tmp_path, int).dump("t", [[1, 2]], header=["a", "b"])
    with pytest.raises(MalformedTable, match=r"t': its first line is \['a', 'b'\], not .*\['x'\]"):
        DelimitedTables(tmp_path, int, column_names=["x"]).pull("t")
    with pytest.raises(MalformedTable, match="it has 2 columns, dtypes has 3"):
        DelimitedTables(tmp_path, [int, int, int]).pull("t")


def test_a_table_without_rows_has_its_names(tmp_path: Path) -> None:
    tables = DelimitedTables(tmp_path, [int, str])
    assert tables.dump("t", []) == 0
    assert tables.pull("t") == (["column_1", "column_2"], [])
    assert list(tables.iter("t", 2)) == []
    one_type = DelimitedTables(tmp_path, int)
    one_type.dump("u", [], header=["a"])
    assert one_type.pull("u") == (["a"], [])
    with pytest.raises(BadArgument, match=r"header: got None, .*how many"):
        one_type.dump("v", [])
    assert sorted(os.listdir(tmp_path)) == ["t", "u"]


def test_an_existing_table_is_replaced_only_if_wanted(tmp_path: Path) -> None:
    tables = DelimitedTables(tmp_path, int)
    tables.dump("deep/t", [[1]], replace=False)
    with pytest.raises(Duplicate, match="path: got 'deep/t'"):
        tables.dump("deep/t", [[2]], replace=False)
    assert tables.pull("deep/t")[1] == [[1]]
    tables.dump("deep/t", [[3]])
    assert tables.pull("deep/t")[1] == [[3]]
    assert stat.S_IMODE((tmp_path / "deep" / "t").stat().st_mode) == 0o600


def test_a_table_can_be_made_from_itself(tmp_path: Path) -> None:
    tables = DelimitedTables(tmp_path, int)
    tables.dump("t", ([number] for number in range(3000)))
    tables.dump("t", ([row[0] * 2] for row in tables.iter("t")))
    assert tables.pull("t")[1] == [[number * 2] for number in range(3000)]


@pytest.mark.parametrize("n", [2, 3, 999, 1000, 1001, 10**9])
def test_iter_gives_lists_of_n_rows_and_the_rest(tmp_path: Path, n: int) -> None:
    rows = [[number, str(number)] for number in range(1000)]
    tables = DelimitedTables(tmp_path, [int, str])
    tables.dump("t", rows, header=["a", "b"])
    parts = list(tables.iter("t", n))
    assert [row for part in parts for row in part] == rows
    assert {len(part) for part in parts[:-1]} <= {n}
    assert 0 < len(parts[-1]) <= n
    assert list(tables.iter("t", n, header=True)) == [(["a", "b"], part) for part in parts]


def test_iter_gives_single_rows_where_n_is_1(tmp_path: Path) -> None:
    tables = DelimitedTables(tmp_path, int)
    tables.dump("t", [[1], [2]], header=["a"])
    assert list(tables.iter("t")) == [[1], [2]]
    assert list(tables.iter("t", header=True)) == [(["a"], [1]), (["a"], [2])]


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "2", None])
def test_iter_wants_a_number_of_rows(tmp_path: Path, n: Any) -> None:
    with pytest.raises(BadArgument, match="n: got"):
        DelimitedTables(tmp_path, int).iter("t", n)


def test_iter_says_at_once_what_is_wrong_with_the_file(tmp_path: Path) -> None:
    tables = DelimitedTables(tmp_path, int)
    with pytest.raises(NotRead, match=r"none' cannot be read: No such file"):
        tables.iter("none")
    (tmp_path / "t").write_bytes(b"a\n1\n2\nx\n")
    rows = tables.iter("t")
    with pytest.raises(MalformedTable, match=r"table '.*/t', row 3, column 'a': got 'x'"):
        list(rows)


def test_iter_holds_little_of_a_large_table(tmp_path: Path) -> None:
    tables = DelimitedTables(tmp_path, [int, str])
    tables.dump("t", ([number, "x" * 900] for number in range(20_000)))
    assert (tmp_path / "t").stat().st_size > 18_000_000
    tracemalloc.start()
    try:
        assert sum(row[0] for row in tables.iter("t")) == 19_999 * 10_000
        assert sum(len(rows) for rows in tables.iter("t", 100)) == 20_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000


def test_an_iteration_that_is_left_closes_its_file(tmp_path: Path) -> None:
    tables = DelimitedTables(tmp_path, int)
    tables.dump("t", [[1], [2]])
    before = len(os.listdir("/proc/self/fd"))
    rows = tables.iter("t")
    next(rows)
    rows.close()  # type: ignore[attr-defined]
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_bad_value_is_told_and_the_old_table_stays(tmp_path: Path) -> None:
    tables = DelimitedTables(tmp_path, [int, str])
    tables.dump("t", [[1, "old"]])
    with pytest.raises(MalformedTable, match=r"t', row 2, column 'column_1': got 'x'") as caught:
        tables.dump("t", [[1, "new"], ["x", "new"]])
    assert (caught.value.row, caught.value.column) == (2, "column_1")
    assert tables.pull("t")[1] == [[1, "old"]]
    assert os.listdir(tmp_path) == ["t"]


def test_rows_that_raise_leave_nothing(tmp_path: Path) -> None:
    def rows() -> Any:
        yield [1]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        DelimitedTables(tmp_path, int).dump("t", rows())
    assert os.listdir(tmp_path) == []


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    tables = DelimitedTables(tmp_path, str)
    tables.dump("t", [["old"]])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # the kernel refuses, as a full disk
    try:
        with pytest.raises(NotWritten, match=r"t' was not written, and nothing of it was kept"):
            tables.dump("t", [["x" * 1000]] * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == ["t"]
    assert tables.pull("t")[1] == [["old"]]


@pytest.mark.parametrize("path", ["../t", "a/../../t", "/t"])
def test_paths_that_leave_the_folder_are_refused(tmp_path: Path, path: str) -> None:
    tables = DelimitedTables(tmp_path / "ddfs", int)
    for call in (lambda: tables.dump(path, [[1]]), lambda: tables.pull(path)):
        with pytest.raises(OutsideRoot, match="path: got"):
            call()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("separator", ["", ",,", '"', "\n", "\r", "\0", "\x02", None, 5])
def test_separators_are_one_character_that_can_separate(tmp_path: Path, separator: Any) -> None:
    with pytest.raises(BadArgument, match="sep: got"):
        DelimitedTables(tmp_path, int, separator=separator)


@pytest.mark.parametrize("dtypes", [[], bytes, [int, bool], "str", None, {"a": int}])
def test_types_are_one_of_six_or_a_list_of_them(tmp_path: Path, dtypes: Any) -> None:
    with pytest.raises(BadArgument, match="dtypes: got"):
        DelimitedTables(tmp_path, dtypes)


@pytest.mark.parametrize("names", [[], "ab", [1, 2], ["a", None], ["a"], ["a", "b", "c"], {"a": 1}])
def test_names_are_texts_one_for_each_column(tmp_path: Path, names: Any) -> None:
    with pytest.raises(BadArgument, match="colNames: got"):
        DelimitedTables(tmp_path, [int, int], column_names=names)
    with pytest.raises(BadArgument, match="header: got"):
        DelimitedTables(tmp_path, [int, int]).dump("t", [[1, 2]], header=names)
    assert os.listdir(tmp_path) == []


def test_a_table_says_where_it_is(tmp_path: Path) -> None:
    assert repr(DelimitedTables(tmp_path, int)).endswith("separator='\\x01')")
