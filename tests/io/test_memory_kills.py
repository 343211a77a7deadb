"""Who was killed for want of memory: what the counters of the kernel tell, and what they do not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from softgrid._io.memory_kills import Group, MemoryKills

MIB = 1024
VERSIONS = {
    "v2": ("0::/jobs/one\n", "", "memory.events", "memory.max", "low 0\noom 1\noom_kill {}\n"),
    "v1": (
        "5:cpu:/other\n4:memory:/jobs/one\n0::/\n",
        "memory",
        "memory.oom_control",
        "memory.limit_in_bytes",
        "oom_kill_disable 0\noom_kill {}\n",
    ),
}


class Kernel:
    """Files as the kernel has them."""

    def __init__(self, folder: Path, version: str, path: str = "jobs/one") -> None:
        said, top, self._counter, self._limit, self._format = VERSIONS[version]
        self.proc, self.root = folder / "proc", folder / "cgroup"
        for pid in ("self", "77"):
            (self.proc / pid).mkdir(parents=True)
            (self.proc / pid / "cgroup").write_text(said)
        self._group = self.root / top / path
        self._group.mkdir(parents=True)
        self.kill_in_group(3)
        self.limit("268435456\n")

    def kill_in_group(self, count: int) -> None:
        (self._group / self._counter).write_text(self._format.format(count))

    def limit(self, text: str) -> None:
        (self._group / self._limit).write_text(text)

    def open(self) -> MemoryKills:
        return MemoryKills(str(self.root), str(self.proc))


@pytest.fixture(params=VERSIONS)
def kernel(tmp_path: Path, request: pytest.FixtureRequest) -> Kernel:
    return Kernel(tmp_path, request.param)


def test_a_counter_that_rose_and_a_peak_near_the_limit_are_certain(kernel: Kernel) -> None:
    kills = kernel.open()
    kernel.kill_in_group(4)
    verdict = kills.verdict(kills.group_of(77), 250 * MIB)
    assert verdict == "out of memory, at a peak of 250 MiB where its control group has 256 MiB"
    assert kills.verdict(kills.group_of(77), 250 * MIB) is None, "the next one that is killed was killed by somebody"


@pytest.mark.parametrize("limit", ["268435456", "max", "9223372036854771712"])
def test_a_counter_that_rose_alone_is_probable(kernel: Kernel, limit: str) -> None:
    kernel.limit(limit)
    kills = kernel.open()
    kernel.kill_in_group(5)
    verdict = kills.verdict(kills.group_of(77), 20 * MIB)
    assert verdict == (
        "probably out of memory, at a peak of 20 MiB: the kernel has ended a process in its control group for that"
    )


def test_a_counter_that_stands_still_tells_nothing(kernel: Kernel) -> None:
    kills = kernel.open()
    assert kills.verdict(kills.group_of(77), 250 * MIB) is None
    assert kills.verdict(Group("", None), 250 * MIB) is None
    assert kills.group_of(78) == Group("", None)


@pytest.mark.parametrize("version", VERSIONS)
def test_in_a_container_the_group_is_the_top_one(tmp_path: Path, version: str) -> None:
    kernel = Kernel(tmp_path, version, path=".")
    kills = kernel.open()
    kernel.kill_in_group(4)
    assert (kills.verdict(kills.group_of(77), 200 * MIB) or "").startswith("out of memory")


def test_where_the_dead_are_shown_at_the_top_their_group_is_that_of_who_started_them(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, "v1")
    (kernel.proc / "77" / "cgroup").write_text("4:memory:/\n0::/\n")
    kills = kernel.open()
    assert kills.group_of(77) == kills.group_of("self") != Group("", None)


def test_this_machine_can_be_asked() -> None:
    kills = MemoryKills()
    assert kills.verdict(kills.group_of(os.getpid()), 1) is None
