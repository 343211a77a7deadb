"""Numbers as people read them: three figures and a unit."""

from __future__ import annotations

import pytest

from softgrid._insight.quantities import bytes_text, rate_text, time_text, time_unit


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (5, "5 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1234, "1.23 kB"),
        (99_950, "100 kB"),
        (999_600, "1 MB"),
        (64_000_000, "64 MB"),
        (1.85e9, "1.85 GB"),
        (5.5e12, "5.5 TB"),
        (7e15, "7000 TB"),
    ],
)
def test_bytes(count: float, text: str) -> None:
    assert bytes_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 µs"),
        (1.23e-5, "12.3 µs"),
        (0.000999, "999 µs"),
        (0.0009996, "1 ms"),
        (0.0123, "12.3 ms"),
        (0.1234, "123 ms"),
        (1.5, "1.5 s"),
        (125.4, "125 s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


def test_speeds() -> None:
    assert rate_text(4.474e9) == "4.47 GB/s"


def test_units_of_an_axis() -> None:
    assert [time_unit(seconds)[1] for seconds in (1e-5, 1e-2, 2.0)] == ["µs", "ms", "s"]
