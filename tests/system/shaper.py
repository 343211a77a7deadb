"""``python -m tests.system.shaper NEAR FAR DELAY_S LOSS BITS_S SEED``: a weak link between two TUN devices.

Packets come out at the other device after DELAY_S, no faster than BITS_S, and each is lost with the probability LOSS.
Not every kernel has netem, and a proxy of TCP connections would lose no packets. It says "ready" when both devices are
there, and ends with its standard input. Run by ``weak_links``; knows nothing of softgrid.
"""

from __future__ import annotations

import fcntl
import os
import random
import select
import struct
import sys
from collections import deque
from time import monotonic

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
LARGEST_PACKET = 65536
QUEUE_S = 0.1
"""So long a packet may wait for its turn before it is dropped: a router's buffer."""


def open_device(name: str) -> int:
    """Make a TUN device, which lives as long as its descriptor."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


class Direction:
    """Packets on their way from one device to the other."""

    def __init__(
        self, source: int, target: int, delay_s: float, loss: float, bits_s: float, dice: random.Random
    ) -> None:
        self.source, self._target = source, target
        self._delay_s, self._loss, self._bits_s = delay_s, loss, bits_s
        self._dice = dice
        self._packets: deque[tuple[float, bytes]] = deque()
        self._busy_until = 0.0

    def take(self) -> None:
        """Take all packets that are there."""
        while True:
            try:
                packet = os.read(self.source, LARGEST_PACKET)
            except BlockingIOError:
                return
            now = monotonic()
            begins = max(now, self._busy_until)
            if begins - now > QUEUE_S or self._dice.random() < self._loss:
                continue
            self._busy_until = begins + len(packet) * 8 / self._bits_s
            self._packets.append((self._busy_until + self._delay_s, packet))

    def deliver(self) -> float | None:
        """Let out what is due; gives the seconds until the next is, None when none is on its way."""
        while self._packets:
            wait = self._packets[0][0] - monotonic()
            if wait > 0:
                return wait
            try:
                os.write(self._target, self._packets.popleft()[1])
            except OSError:  # the device is down: a cable that was pulled out
                continue
        return None


def main(near: str, far: str, *figures: str) -> None:
    """Move packets until nobody holds the other end of standard input."""
    delay_s, loss, bits_s = map(float, figures[:3])
    devices = open_device(near), open_device(far)
    dice = random.Random(int(figures[3]))
    ways = [Direction(*ends, delay_s, loss, bits_s, dice) for ends in (devices, devices[::-1])]
    print("ready", flush=True)
    while True:
        waits = [wait for way in ways if (wait := way.deliver()) is not None]
        ready = select.select([0, *devices], [], [], min(waits, default=None))[0]
        if 0 in ready:
            return
        for way in ways:
            if way.source in ready:
                way.take()


if __name__ == "__main__":
    main(*sys.argv[1:])
