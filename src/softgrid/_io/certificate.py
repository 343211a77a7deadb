"""The certificate of a listening executor: self-signed, made when the first visitor asks for one, never kept on disk.

Nobody has to trust it by itself: the proof of the password binds its hash (``_wire.handshake``), so whoever stands in
between with another certificate proves nothing. It is made by the system's ``openssl`` program, else by the package
``cryptography``.
"""

from __future__ import annotations

import os
import ssl
from typing import NamedTuple

from softgrid._model.errors import TlsUnavailable, shorten

PROGRAM = "openssl"
PATIENCE_S = 10.0
VALID_DAYS = 3650
_CONFIGURATION = b"[req]\ndistinguished_name=name\nprompt=no\n[name]\nCN=softgrid\n"
_END = b"-----END CERTIFICATE-----\n"


class Identity(NamedTuple):
    """What a server shows to its visitors."""

    context: ssl.SSLContext
    certificate: bytes
    """In DER, as the other side sees it."""


def make_identity() -> Identity:
    """Make a key with its certificate; blocks for some 20 ms. Raises TlsUnavailable."""
    check_tls()
    pem = _by_program() or _by_package()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # nobody comes back by a ticket: each time the password is proved anew
    _load(context, pem)
    certificate = pem[pem.index(b"-----BEGIN CERTIFICATE") : pem.index(_END) + len(_END)]
    return Identity(context, ssl.PEM_cert_to_DER_cert(certificate.decode()))


def client_context() -> ssl.SSLContext:
    """Give what the connecting side speaks TLS with; raises TlsUnavailable."""
    check_tls()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # what is verified is that the server knows the password, over its certificate
    return context


def check_tls() -> None:
    """Raise TlsUnavailable where this Python cannot speak TLS 1.3."""
    if not ssl.HAS_TLSv1_3:
        raise TlsUnavailable(
            f"this Python speaks no TLS 1.3 ({ssl.OPENSSL_VERSION}): use one with OpenSSL 1.1.1 or newer"
        )


def _by_program() -> bytes | None:
    """Ask the openssl program for a key and a certificate on its output; None where there is no such program."""
    import shutil
    import subprocess

    program = shutil.which(PROGRAM)
    if program is None:
        return None
    command = [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", str(VALID_DAYS), "-keyout", "/dev/stdout", "-out", "/dev/stdout", "-config", "/dev/stdin"]
    try:
        made = subprocess.run(command, input=_CONFIGURATION, capture_output=True, timeout=PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return _by_package_instead(f"{program}: {error}")
    if made.returncode or _END not in made.stdout:
        return _by_package_instead(f"{program}: {shorten(made.stderr.decode(errors='replace').strip(), 300)}")
    return made.stdout


def _by_package_instead(reason: str) -> bytes:
    try:
        return _by_package()
    except TlsUnavailable:
        raise TlsUnavailable(f"the certificate for visitors could not be made by {reason}") from None


def _by_package() -> bytes:
    import datetime

    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise TlsUnavailable(
            "the certificate for visitors could not be made: install the openssl program, or the package cryptography "
            "(pip install 'softgrid[tls]')"
        ) from None
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "softgrid")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    made: bytes = private + certificate.public_bytes(serialization.Encoding.PEM)
    return made


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """Give key and certificate to a context, which takes them from a path only: from memory where that has a path."""
    if hasattr(os, "memfd_create"):
        memory = os.memfd_create("softgrid-certificate", os.MFD_CLOEXEC)
        try:
            os.write(memory, pem)
            context.load_cert_chain(f"/proc/self/fd/{memory}")
            return
        except FileNotFoundError:  # there is no /proc here
            pass
        finally:
            os.close(memory)
    import tempfile

    with tempfile.TemporaryDirectory(prefix="softgrid-") as folder:  # nobody else's: mode 0700
        path = os.path.join(folder, "certificate.pem")
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(pem)
        context.load_cert_chain(path)
