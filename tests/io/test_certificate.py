"""The certificate for visitors: made by what the machine has, kept in memory, good for TLS 1.3 and nothing older."""

from __future__ import annotations

import os
import ssl
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.harness.tls import TlsStream, shake

from softgrid._io import certificate
from softgrid._io.certificate import Identity, client_context, make_identity
from softgrid._model.errors import TlsUnavailable

needs_program = pytest.mark.skipif(
    subprocess.run(["which", "openssl"], capture_output=True, check=False).returncode != 0, reason="no openssl program"
)


def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cryptography", None)


def speaks(identity: Identity) -> bytes:
    """Shake hands over that certificate; gives what the client has seen."""
    import socket

    one, other = socket.socketpair()
    for sock in (one, other):
        sock.setblocking(False)
    server = TlsStream(one, identity.context, is_server=True)
    client = TlsStream(other, client_context(), is_server=False)
    shake(server, client)
    assert client._tls.version() == "TLSv1.3"
    seen = client.peer_certificate
    server.close()
    client.close()
    return seen


@needs_program
def test_the_program_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    no_package(monkeypatch)
    identity = make_identity()
    assert speaks(identity) == identity.certificate


def test_the_package_makes_it_where_there_is_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cryptography")
    monkeypatch.setattr(certificate, "PROGRAM", "no-such-program")
    identity = make_identity()
    assert speaks(identity) == identity.certificate


@pytest.mark.parametrize("program", ["#!/bin/sh\nexit 1\n", "#!/bin/sh\necho nonsense\n", "#!/no/such/interpreter\n"])
def test_the_package_makes_it_where_the_program_cannot(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography")
    a_program(program, tmp_path, monkeypatch)
    assert speaks(make_identity())


def a_program(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "openssl-of-the-test"
    path.write_text(text)
    path.chmod(0o755)
    monkeypatch.setattr(certificate, "PROGRAM", str(path))


def test_without_either_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    no_package(monkeypatch)
    monkeypatch.setattr(certificate, "PROGRAM", "no-such-program")
    with pytest.raises(
        TlsUnavailable, match=r"install the openssl program, or the package cryptography.*softgrid\[tls\]"
    ):
        make_identity()


def test_a_program_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_package(monkeypatch)
    a_program("#!/bin/sh\necho out of order >&2\nexit 3\n", tmp_path, monkeypatch)
    with pytest.raises(TlsUnavailable, match="openssl-of-the-test: 'out of order'"):
        make_identity()


def test_a_program_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_package(monkeypatch)
    monkeypatch.setattr(certificate, "PATIENCE_S", 0.1)
    a_program("#!/bin/sh\nexec sleep 60\n", tmp_path, monkeypatch)
    with pytest.raises(TlsUnavailable, match="timed out"):
        make_identity()


def test_no_two_are_alike() -> None:
    assert make_identity().certificate != make_identity().certificate


def test_nothing_of_it_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    load = ssl.SSLContext.load_cert_chain

    def look(context: ssl.SSLContext, path: Any) -> None:
        opened.append(os.readlink(path))
        load(context, path)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", look)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    make_identity()
    assert len(os.listdir("/proc/self/fd")) == before
    assert os.listdir(tmp_path) == []
    assert len(opened) == 1
    assert opened[0].startswith("/memfd:")


@pytest.mark.parametrize("has_memfd", [False, True])
def test_where_memory_has_no_path_a_private_folder_is_used_and_removed(
    has_memfd: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    load = ssl.SSLContext.load_cert_chain

    def look(context: ssl.SSLContext, path: Any) -> None:
        if path.startswith("/proc/"):
            raise FileNotFoundError(path)
        seen.append((stat.S_IMODE(os.stat(path).st_mode), stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode)))
        load(context, path)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", look)
    if not has_memfd:
        monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    make_identity()
    assert seen == [(0o600, 0o700)]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("make", [make_identity, client_context])
def test_a_python_without_tls_1_3_says_so(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssl, "HAS_TLSv1_3", False)
    with pytest.raises(TlsUnavailable, match=r"speaks no TLS 1\.3 \(.*SSL.*\): use one with"):
        make()
