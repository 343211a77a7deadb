"""What the kernel tells of a connection: how long the other machine has been silent, whoever's connection it is."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from tests.system.watching import wait_until

from softgrid._io.tcp_info import Ends, ends_of_ssh, silence_between, silence_of

FAMILIES = {
    "127.0.0.1": (socket.AF_INET, "127.0.0.1"),
    "::1": (socket.AF_INET6, "::1"),
    "::": (socket.AF_INET6, "127.0.0.1"),
}


@pytest.fixture(params=FAMILIES)
def connection(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket, Ends]]:
    """Both ends of a connection, and how sshd would have told of it."""
    family, address = FAMILIES[request.param]
    try:
        listener = socket.create_server((request.param, 0), family=family, dualstack_ipv6=request.param == "::")
    except OSError as error:
        pytest.skip(f"no such addresses here: {error}")
    with listener, socket.create_connection((address, listener.getsockname()[1])) as there:
        here, _ = listener.accept()
        with here:
            yield here, there, (address, here.getsockname()[1], address, there.getsockname()[1])


def test_silence_grows_and_ends_with_what_comes(connection: tuple[socket.socket, socket.socket, Ends]) -> None:
    here, there, ends = connection
    if silence_of(here) is None:
        pytest.skip("this system does not tell")
    wait_until(lambda: (silence_of(here) or 0) > 0.1, what="it is silent for a while")
    said = silence_between(ends)
    assert said is None or said > 0.1
    there.send(b"x")
    wait_until(lambda: (silence_of(here) or 0) < 0.1, what="it is not any more")
    assert here.recv(1) == b"x"


def test_an_acknowledgement_is_a_sign_of_life_of_the_machine_alone(
    connection: tuple[socket.socket, socket.socket, Ends],
) -> None:
    here, _, ends = connection
    if silence_between(ends) is None:
        pytest.skip("this system does not tell")
    wait_until(lambda: (silence_between(ends) or 0) > 0.1, what="it is silent for a while")
    here.send(b"x")  # which nobody reads
    wait_until(lambda: (silence_between(ends) or 0) < 0.1, what="it was acknowledged")


def test_what_is_no_connection_tells_nothing() -> None:
    with socket.socket() as unconnected, socket.socket(socket.AF_UNIX) as local:
        assert silence_of(local) is None
        unconnected.close()
        assert silence_of(unconnected) is None
    assert silence_between(("127.0.0.1", 1, "127.0.0.1", 2)) is None
    assert silence_between(("nowhere", 1, "127.0.0.1", 2)) is None
    assert silence_between(("127.0.0.1", 1 << 20, "127.0.0.1", 2)) is None


def test_sshd_tells_of_its_connection() -> None:
    said = {"SSH_CONNECTION": "10.0.0.1 40000 10.0.0.2 22"}
    assert ends_of_ssh(said) == ("10.0.0.2", 22, "10.0.0.1", 40000)
    for wrong in ({}, {"SSH_CONNECTION": ""}, {"SSH_CONNECTION": "UNKNOWN 65535 UNKNOWN x"}):
        assert ends_of_ssh(wrong) is None
