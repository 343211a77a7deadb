"""The token of a request: what of its password travels, so that the password itself never leaves an executor.

Whoever can name the token knows the password; tokens are of one size, and looking one up tells nothing of others.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

from softgrid._model.errors import BadArgument

TOKEN_SIZE = 16

HIDDEN = "(not shown)"
"""Stands for a password in an error."""


@lru_cache(maxsize=256)
def _token(password: str) -> bytes:
    encoded = password.encode("utf-8", "surrogatepass")
    return blake2b(encoded, digest_size=TOKEN_SIZE, person=b"softgrid-request").digest()


def token_of(password: object) -> bytes:
    """Give the token of a password (BLAKE2b, RFC 7693); raises BadArgument for what is no password."""
    if not isinstance(password, str) or not password:
        raise BadArgument("password", type(password).__name__ if password else password, "a string that is not empty")
    return _token(password)
