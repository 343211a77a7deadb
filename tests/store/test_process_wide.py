"""Settings of the process that come back to what they were, also when threads overlap."""

from __future__ import annotations

import csv
import gc
import threading

import pytest

from softgrid._store.process_wide import SharedSetting, paused_collection, wide_csv_fields


def test_the_first_in_changes_and_the_last_out_undoes() -> None:
    log: list[str] = []

    def change() -> object:
        log.append("change")
        return lambda: log.append("undo")

    setting = SharedSetting(change)  # type: ignore[arg-type]
    with setting.changed():
        with setting.changed():
            assert log == ["change"]
        assert log == ["change"]
    assert log == ["change", "undo"]
    with setting.changed():
        assert log == ["change", "undo", "change"]


def test_it_is_undone_after_an_error() -> None:
    before = csv.field_size_limit()
    with pytest.raises(ValueError, match="inside"), wide_csv_fields.changed():
        raise ValueError("inside")
    assert csv.field_size_limit() == before


def test_overlapping_threads_leave_it_as_it_was() -> None:
    before = csv.field_size_limit()
    is_in, may_leave = threading.Event(), threading.Event()

    def stay() -> None:
        with wide_csv_fields.changed():
            is_in.set()
            may_leave.wait()

    thread = threading.Thread(target=stay)
    thread.start()
    is_in.wait()
    with wide_csv_fields.changed():
        may_leave.set()
        thread.join()
        assert csv.field_size_limit() > before
    assert csv.field_size_limit() == before


def test_collection_that_was_off_stays_off() -> None:
    assert gc.isenabled()
    with paused_collection.changed():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with paused_collection.changed():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
