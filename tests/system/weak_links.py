"""A network that is reached over a weak link only: delay, loss, little bandwidth. Used by tests and benchmarks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import SkipTest

from tests.system.ssh_hosts import Namespace

ROOT = Path(__file__).parents[2]


class Weakness(NamedTuple):
    """What the link does to packets; *delay_s* is for one direction."""

    delay_s: float = 0.010
    loss: float = 0.01
    bits_s: float = 50e6
    seed: int = 1


class WeakLink(Namespace):
    """A network of its own, over a pair of TUN devices with a shaper between them."""

    def __init__(self, weakness: Weakness | None = None) -> None:
        self._weakness = weakness or Weakness()
        self._shaper: subprocess.Popen[str] | None = None
        super().__init__()

    def _lay_cable(self, here: tuple[str, ...], cable: str) -> None:
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            raise SkipTest("there is no /dev/net/tun here")
        far = f"{cable}far"
        words = [sys.executable, "-m", "tests.system.shaper", cable, far, *map(str, self._weakness)]
        self._shaper = subprocess.Popen(
            words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._shaper.stdout is not None
        if self._shaper.stdout.readline() != "ready\n":
            raise SkipTest(f"no TUN devices can be made here: {self._shaper.communicate()[1]}")
        self._ip("link", "set", far, "netns", self.name)
        self._ip("-n", self.name, "link", "set", far, "name", "far")

    def close(self) -> None:
        """Take the link and the network away."""
        if self._shaper is not None:
            self._shaper.communicate()
        super().close()
