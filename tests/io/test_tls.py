"""TLS over a non-blocking socket: what goes in comes out, whole and in order, and nothing ever blocks."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
from tests.harness.tls import a_pair

from softgrid._io.certificate import client_context
from softgrid._io.tls import CHUNK, RECORD, SMALL, TlsStream
from softgrid._model.errors import HandshakeFailed

Pair = tuple[TlsStream, TlsStream]


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = a_pair()
    yield made
    for stream in made:
        stream.close()


def read_all(stream: TlsStream, size: int) -> bytes:
    """Read *size* bytes that have come already."""
    view = memoryview(bytearray(64 * 1024))
    data = bytearray()
    while len(data) < size:
        got = stream.recv_into(view)
        assert got, "it ended"
        data += view[:got]
    return bytes(data)


def test_what_one_says_the_other_hears(pair: Pair) -> None:
    server, client = pair
    for one, other in (pair, (client, server)):
        assert one.send(b"hello") == 5
        assert read_all(other, 5) == b"hello"


def test_several_pieces_leave_as_one(pair: Pair) -> None:
    server, client = pair
    assert server.sendmsg([b"a", memoryview(b"bc"), bytearray(b"def")]) == 6
    assert read_all(client, 6) == b"abcdef"


def test_there_is_nothing_to_read_until_something_comes(pair: Pair) -> None:
    with pytest.raises(BlockingIOError):
        pair[0].recv_into(memoryview(bytearray(64 * 1024)))


def test_half_a_record_is_nothing_yet(pair: Pair) -> None:
    server, client = pair
    view = memoryview(bytearray(64 * 1024))
    client.send(b"x" * 1000)
    sealed = server.sock.recv(4096)
    server.feed(sealed[:500])
    with pytest.raises(BlockingIOError):
        server.read(view)
    server.feed(sealed[500:])
    assert server.read(view) == 1000


def test_much_is_taken_in_parts_and_comes_whole(pair: Pair) -> None:
    server, client = pair
    data = random.Random(1).randbytes(1_000_000)
    received = bytearray()

    def read() -> None:
        server.sock.setblocking(True)
        view = memoryview(bytearray(64 * 1024))
        while len(received) < len(data):
            try:
                received.extend(view[: server.recv_into(view)])
            except BlockingIOError:  # half a record
                continue

    reader = threading.Thread(target=read)
    reader.start()
    client.sock.setblocking(True)
    sent = 0
    while sent < len(data):
        taken = client.send(data[sent:])
        assert 0 < taken <= CHUNK
        sent += taken
    reader.join(10)
    assert received == data


def test_a_full_socket_takes_no_more_until_it_is_read(pair: Pair) -> None:
    server, client = pair
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    sent = 0
    while not client.is_behind:
        sent += client.send(b"x" * CHUNK)
    with pytest.raises(BlockingIOError):
        client.send(b"one more")
    assert not client.flush()
    received = 0
    view = memoryview(bytearray(64 * 1024))
    while received < sent:
        try:
            received += server.recv_into(view)
        except BlockingIOError:
            client.flush()
    assert not client.is_behind
    assert client.flush()
    assert received == sent


def test_everything_that_came_is_read_at_once_so_that_nothing_is_left_of_which_no_poll_would_tell(pair: Pair) -> None:
    server, client = pair
    view = memoryview(bytearray(2 * RECORD))
    server.widen(memoryview(bytearray(256 * 1024)))
    total = 0
    for _ in range(200):
        total += client.send(b"small")
    received = 0
    while received < total:
        received += server.recv_into(view)  # raises when it would have to wait
    with pytest.raises(BlockingIOError):
        server.sock.recv(1)
    with pytest.raises(BlockingIOError):
        server.read(view)


def test_the_end_of_the_other_side_is_the_end(pair: Pair) -> None:
    server, client = pair
    client.send(b"last words")
    client.close()
    assert read_all(server, 10) == b"last words"
    assert server.recv_into(memoryview(bytearray(64 * 1024))) == 0


def test_a_polite_end_is_the_end_too(pair: Pair) -> None:
    server, client = pair
    with pytest.raises(ssl.SSLWantReadError):
        client._tls.unwrap()
    client.flush()
    assert server.recv_into(memoryview(bytearray(64 * 1024))) == 0


def test_what_was_changed_on_the_way_breaks_the_connection(pair: Pair) -> None:
    server, client = pair
    client.send(b"x" * 100)
    sealed = bytearray(server.sock.recv(4096))
    sealed[50] ^= 1
    server.feed(bytes(sealed))
    with pytest.raises(OSError, match=r"(?i)bad record mac|decryption failed"):
        server.read(memoryview(bytearray(SMALL)))


def test_a_server_that_speaks_no_tls_is_told_apart_and_hears_no_complaint() -> None:
    one, other = socket.socketpair()
    one.setblocking(False)
    stream = TlsStream(one, client_context(), is_server=False)
    assert not stream.shake()
    assert other.recv(5)[:2] == b"\x16\x03"
    other.setblocking(False)
    while True:
        try:
            other.recv(4096)
        except BlockingIOError:
            break
    other.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert stream.take()
    with pytest.raises(
        HandshakeFailed, match=r"the peer does not speak TLS 1\.3 as it should \(WRONG_VERSION_NUMBER\)"
    ):
        stream.shake()
    with pytest.raises(BlockingIOError):
        other.recv(1)
    one.close()
    other.close()


def test_a_handshake_that_finds_no_room_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = socket.socketpair()
    one.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while one.send(b"x" * 65536):
            continue
    stream = TlsStream(one, client_context(), is_server=False)
    with pytest.raises(HandshakeFailed, match="it does not read"):
        stream.shake()
    one.close()
    other.close()


def test_it_looks_like_a_socket(pair: Pair) -> None:
    server, _ = pair
    assert server.fileno() == server.sock.fileno()
    server.setblocking(False)
    assert server.sock.gettimeout() == 0.0
    assert repr(server) == f"<TlsStream {server.fileno()}>"
