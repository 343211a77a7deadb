"""What an executor has done and holds, as a frozen record that the command line, tests and pages read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from softgrid._node.node import Node


class Statistics(NamedTuple):
    """One executor at one moment. Sizes in bytes, durations in seconds."""

    name: str
    tasks_finished: int
    tasks_failed: int
    tasks_queued: int
    busy_s: float
    calls_in_flight: int
    frames_sent: int
    frames_received: int
    bytes_sent: int
    bytes_received: int
    frames_relayed: int
    frames_dropped: int
    log_records_written: int
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


def take_statistics(node: Node) -> Statistics:
    """Take stock of a node."""
    links = node.links()
    return Statistics(
        name=node.name,
        tasks_finished=node.execution.finished,
        tasks_failed=node.execution.failed,
        tasks_queued=node.execution.queued,
        busy_s=node.execution.busy_s,
        calls_in_flight=len(node.transfers.inflight),
        frames_sent=sum(link.frames_sent for link in links),
        frames_received=sum(link.frames_received for link in links),
        bytes_sent=sum(link.bytes_sent for link in links),
        bytes_received=sum(link.bytes_received for link in links),
        frames_relayed=node.switch.relayed_frames,
        frames_dropped=node.switch.dropped_frames,
        log_records_written=node.logs.written,
        **node.segments.statistics(),
    )
