"""Addresses of machines: what users write is taken apart, and nothing passes for an option or a piece of shell."""

from __future__ import annotations

import pytest

from softgrid._model.addresses import MachineAddress, parse_address
from softgrid._model.errors import BadArgument

GOOD = {
    "node1": ("node1", None, None, False),
    "node_1.cluster-a.example": ("node_1.cluster-a.example", None, None, False),
    "10.0.0.7": ("10.0.0.7", None, None, False),
    "alice@node1": ("node1", "alice", None, False),
    "alice@corp.example@node1": ("node1", "alice@corp.example", None, False),
    "node1:2222": ("node1", None, 2222, True),
    "ssh://node1": ("node1", None, None, True),
    "ssh://alice@node1:2222": ("node1", "alice", 2222, True),
    "ssh://alice@node1:2222/": ("node1", "alice", 2222, True),
    "::1": ("::1", None, None, False),
    "alice@fe80::1%eth0": ("fe80::1%eth0", "alice", None, False),
    "[2001:db8::7]": ("2001:db8::7", None, None, False),
    "ssh://alice@[2001:db8::7]:2222": ("2001:db8::7", "alice", 2222, True),
}


@pytest.mark.parametrize("text", GOOD)
def test_an_address_is_taken_apart(text: str) -> None:
    assert parse_address(text) == MachineAddress(*GOOD[text])


def test_a_user_in_the_address_goes_before_the_other_one() -> None:
    assert parse_address("alice@node1", "bob").user == "alice"
    assert parse_address("node1", "bob").user == "bob"


BAD = [
    "",
    " ",
    "-oProxyCommand=x",
    "a b",
    "a;b",
    "a|b",
    "a$b",
    "`a`",
    "a\nb",
    "a/b",
    "ssh://",
    "ssh://-x",
    "@node1",
    "é",
]
BAD += ["é", "node1:0", "node1:65536", "node1:x", "[node1", "[::1", "::1]", "-x@node1", "a'b@node1"]


@pytest.mark.parametrize("text", [*BAD, None, 5, b"node1"])
def test_what_is_no_address_is_refused(text: object) -> None:
    with pytest.raises(BadArgument, match="executorAddress"):
        parse_address(text)


@pytest.mark.parametrize("user", ["-l", "a b", "a;b", "$(id)", ""])
def test_a_user_that_is_none_is_refused(user: str) -> None:
    with pytest.raises(BadArgument, match="machineUser"):
        parse_address("node1", user)


def test_an_address_is_shown_as_it_would_be_written() -> None:
    for text in ("node1", "alice@node1", "alice@node1:22", "alice@[::1]:22", "::1"):
        assert str(parse_address(text)) == text
