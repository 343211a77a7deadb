"""pandas, with its default parser and writer for csv."""

from __future__ import annotations

from typing import Any

import pandas

from benchmarks.calls import Report
from benchmarks.tables import CHUNK, NAMES, TYPES, Row, make_rows, time_table

DTYPES = dict(zip(NAMES, (object if dtype is str else dtype for dtype in TYPES), strict=True))
OPTIONS: dict[str, Any] = {"dtype": DTYPES, "keep_default_na": False}


def tables(report: Report) -> None:
    """Rows in, rows out, where the frame to write is there already."""
    frame = frame_of(make_rows())
    report(
        time_table(
            lambda rows: frame.to_csv("t.csv", index=False),
            lambda: pandas.read_csv("t.csv", **OPTIONS).values.tolist(),
            lambda: (part.values.tolist() for part in pandas.read_csv("t.csv", chunksize=CHUNK, **OPTIONS)),
        )
    )


def frames_tables(report: Report) -> None:
    """From rows to a frame to the file, and back to a frame only."""
    report(
        time_table(
            lambda rows: frame_of(rows).to_csv("t.csv", index=False),
            lambda: check_frame(pandas.read_csv("t.csv", **OPTIONS)),
            lambda: pandas.read_csv("t.csv", chunksize=CHUNK, **OPTIONS),
        )
    )


def frame_of(rows: list[Row]) -> pandas.DataFrame:
    """The table as pandas keeps it."""
    return pandas.DataFrame(rows, columns=NAMES).astype(DTYPES)


def check_frame(frame: pandas.DataFrame) -> Any:
    """Give no rows: a frame is what was to be had."""
    if list(frame.columns) != NAMES:
        raise RuntimeError(f"other columns came back: {list(frame.columns)}")
