"""Bytes and seconds as people read them."""

from __future__ import annotations

BYTES = ("B", "kB", "MB", "GB", "TB")


def bytes_text(count: float) -> str:
    """Give a number of bytes with three figures: '4.77 MB'."""
    for unit in BYTES[:-1]:
        if count < 999.5:
            return f"{_figures(count)} {unit}"
        count /= 1000
    return f"{_figures(count)} {BYTES[-1]}"


def rate_text(bytes_per_s: float) -> str:
    """Give bytes per second with three figures: '1.2 GB/s'."""
    return f"{bytes_text(bytes_per_s)}/s"


def time_text(seconds: float) -> str:
    """Give a duration with three figures: '12.3 ms'."""
    factor, unit = time_unit(seconds)
    return f"{_figures(seconds * factor)} {unit}"


def time_unit(seconds: float) -> tuple[float, str]:
    """Give the unit in which to write durations up to *seconds*, and how many of it a second has."""
    if seconds < 0.9995e-3:
        return 1e6, "µs"
    return (1e3, "ms") if seconds < 0.9995 else (1.0, "s")


def _figures(value: float) -> str:
    return f"{value:.0f}" if value >= 99.95 or value == int(value) else f"{value:.3g}"
