"""Ports: the one that was asked for, or the next, or a clear word why not."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from softgrid._io import ports
from softgrid._io.ports import check_port, is_local, own_address, reserve_port
from softgrid._model.errors import BadArgument, PortTaken

HOST = "127.0.0.1"
NOT_HERE = "192.0.2.7"  # for documentation only (RFC 5737): no machine has it


def port_of(sock: socket.socket) -> int:
    port: int = sock.getsockname()[1]
    return port


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with reserve_port(HOST, 0, fetch=False, listen=True) as sock:
        yield port_of(sock)


@pytest.mark.parametrize("port", [0, 1, 65535])
def test_a_port_number_is_accepted(port: int) -> None:
    assert check_port(port) == port


@pytest.mark.parametrize("port", [-1, 65536, 1.0, "80", True, None, []])
def test_anything_else_is_refused(port: Any) -> None:
    with pytest.raises(BadArgument, match=r"^port: got .*0 to 65535"):
        check_port(port)


@pytest.mark.parametrize("fetch", [True, False])
def test_port_0_stands_for_any_free_port(fetch: bool) -> None:
    with reserve_port(HOST, 0, fetch=fetch, listen=False) as sock:
        assert port_of(sock) > 0
        assert sock.getsockname()[0] == HOST
        assert not sock.getblocking()


def test_a_socket_that_listens_is_connected_to() -> None:
    with reserve_port(HOST, 0, fetch=False, listen=True) as sock:
        socket.create_connection((HOST, port_of(sock))).close()


def test_a_socket_that_does_not_listen_keeps_its_port_and_refuses_connections() -> None:
    with reserve_port(HOST, 0, fetch=False, listen=False) as sock:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, port_of(sock)))
        with pytest.raises(PortTaken):
            reserve_port(HOST, port_of(sock), fetch=False, listen=True)


@pytest.mark.parametrize("listen", [True, False])
def test_a_port_that_is_taken_is_not_given_and_the_way_out_is_told(taken: int, listen: bool) -> None:
    with pytest.raises(PortTaken, match=f"port {taken} of {HOST} is in use.*portFetch=True"):
        reserve_port(HOST, taken, fetch=False, listen=listen)


def test_the_next_free_port_is_fetched(taken: int) -> None:
    with reserve_port(HOST, taken, fetch=True, listen=True) as sock:
        assert taken < port_of(sock) <= taken + ports.PORT_TRIES


def test_the_port_itself_is_fetched_when_it_is_free(taken: int) -> None:
    with reserve_port(HOST, 0, fetch=False, listen=False) as sock:
        free = port_of(sock)
    with reserve_port(HOST, free, fetch=True, listen=True) as sock:
        assert port_of(sock) == free


class Bound:
    """Stands for the ports of a machine: which are tried, and which are free."""

    def __init__(self, monkeypatch: Any, *free: int) -> None:
        self.tried: list[int] = []
        self.free = free
        monkeypatch.setattr(ports, "_bind", self.bind)

    def bind(self, host: str, port: int, listen: bool) -> Any:
        self.tried.append(port)
        return f"bound {port}" if port in self.free else None


def test_the_search_begins_where_somebody_says_and_comes_round(monkeypatch: Any) -> None:
    monkeypatch.setattr(ports, "PORT_TRIES", 5)
    bound = Bound(monkeypatch, 101)
    assert reserve_port(HOST, 100, fetch=True, listen=True, first_try=103) == "bound 101"
    assert bound.tried == [103, 104, 100, 101]


@pytest.mark.parametrize("first_try", [None, 50, 105])
def test_a_first_try_outside_of_the_range_is_not_made(monkeypatch: Any, first_try: Any) -> None:
    monkeypatch.setattr(ports, "PORT_TRIES", 5)
    bound = Bound(monkeypatch)
    with pytest.raises(PortTaken, match=f"^no free port among 5 from 100 on {HOST}$"):
        reserve_port(HOST, 100, fetch=True, listen=True, first_try=first_try)
    assert bound.tried == [100, 101, 102, 103, 104]


def test_the_search_ends_at_the_last_port(monkeypatch: Any) -> None:
    bound = Bound(monkeypatch)
    with pytest.raises(PortTaken):
        reserve_port(HOST, 65534, fetch=True, listen=True)
    assert bound.tried == [65534, 65535]


def test_without_fetching_only_the_port_itself_is_tried(monkeypatch: Any) -> None:
    bound = Bound(monkeypatch)
    with pytest.raises(PortTaken):
        reserve_port(HOST, 100, fetch=False, listen=True, first_try=103)
    assert bound.tried == [100]


def test_an_address_of_another_machine_is_a_bad_argument() -> None:
    with pytest.raises(BadArgument, match=f"^address: got '{NOT_HERE}', .*an address of this machine"):
        reserve_port(NOT_HERE, 0, fetch=False, listen=False)


def test_an_address_that_is_too_long_for_a_host_name_is_a_bad_argument() -> None:
    with pytest.raises(BadArgument):
        reserve_port("a" * 70, 0, fetch=False, listen=False)


def test_an_address_that_cannot_be_written_as_a_host_name_is_a_bad_argument() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            reserve_port("ä" * 70, 0, fetch=False, listen=False)
        except Exception as error:
            raised = type(error)
    assert raised is BadArgument


def test_ports_are_bound_on_ipv6_too() -> None:
    try:
        sock = reserve_port("::1", 0, fetch=False, listen=True)
    except BadArgument:
        pytest.skip("this machine has no IPv6")
    with sock:
        assert sock.family == socket.AF_INET6


def test_a_failed_reservation_leaves_no_socket_open(taken: int) -> None:
    import os

    before = len(os.listdir("/proc/self/fd"))
    for host, error in ((HOST, PortTaken), (NOT_HERE, BadArgument)):
        with pytest.raises(error):
            reserve_port(host, taken, fetch=False, listen=True)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("address", ["localhost", "", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_is_this_machine(address: str) -> None:
    assert is_local(address)


def test_the_name_and_the_address_of_this_machine_are_this_machine() -> None:
    assert is_local(socket.gethostname())
    assert is_local(own_address())


@pytest.mark.parametrize("address", [NOT_HERE, "2001:db8::7", "elsewhere.example", "300.1.1.1"])
def test_others_are_not(address: str) -> None:
    assert not is_local(address)


def test_a_machine_without_a_network_has_loopback(monkeypatch: Any) -> None:
    class Unplugged(socket.socket):
        def connect(self, address: Any) -> None:
            raise OSError("network is unreachable")

    monkeypatch.setattr(ports.socket, "socket", Unplugged)
    assert own_address() == "127.0.0.1"
