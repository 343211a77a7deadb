"""What an executor has done and holds, as a frozen record that the command line, tests and pages read."""

from __future__ import annotations

from typing import Any, NamedTuple


class Statistics(NamedTuple):
    """One executor at one moment. Sizes in bytes, durations in seconds."""

    name: str
    tasks_finished: int
    tasks_failed: int
    tasks_queued: int
    tasks_running: int
    promises_held: int
    busy_s: float
    calls_in_flight: int
    frames_sent: int
    frames_received: int
    bytes_sent: int
    bytes_received: int
    frames_relayed: int
    frames_dropped: int
    log_records_written: int
    executors_suspected: int
    segments_free: int
    segments_leased: int
    segment_bytes: int
    shared_messages: int
    shared_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Give it as plain values."""
        return self._asdict()

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Statistics:
        """Read it back, ignoring what a newer executor may add."""
        return cls(**{key: values[key] for key in cls._fields})
