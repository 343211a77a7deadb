"""Both pollers say the same: what is ready, now or within a time."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from softgrid._io import poller as poller_module
from softgrid._io.poller import READ, WRITE, Poller, open_poller


@pytest.fixture(params=["best", "without epoll"])
def poller(request: Any, monkeypatch: Any) -> Iterator[Poller]:
    if request.param == "without epoll":
        monkeypatch.delattr(poller_module.select, "epoll")
    made = open_poller()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def test_on_linux_the_best_is_epoll() -> None:
    made = open_poller()
    assert isinstance(made, select.epoll)
    made.close()


def test_nothing_is_ready_when_nothing_is_there(poller: Poller, pair: Any) -> None:
    poller.register(pair[0].fileno(), READ)
    assert poller.poll(0) == []
    assert poller.poll(0.0001) == []
    assert poller.poll(-0.0) == []


def test_what_can_be_read_is_ready(poller: Poller, pair: Any) -> None:
    fd = pair[0].fileno()
    poller.register(fd, READ)
    pair[1].send(b"x")
    assert poller.poll(None) == [(fd, READ)]
    assert poller.poll(0) == [(fd, READ)], "until it has been read"


def test_the_mask_decides(poller: Poller, pair: Any) -> None:
    fd = pair[0].fileno()
    poller.register(fd, WRITE)
    pair[1].send(b"x")
    assert poller.poll(0) == [(fd, WRITE)]
    poller.modify(fd, READ | WRITE)
    assert poller.poll(0) == [(fd, READ | WRITE)]
    poller.modify(fd, 0)
    assert poller.poll(0) == []
    poller.unregister(fd)
    assert poller.poll(0) == []


def test_the_end_of_the_other_side_is_told_whatever_the_mask(poller: Poller, pair: Any) -> None:
    fd = pair[0].fileno()
    poller.register(fd, 0)
    pair[1].close()
    ((ready, mask),) = poller.poll(0)
    assert ready == fd
    assert mask & select.POLLHUP
