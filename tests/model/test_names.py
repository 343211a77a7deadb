"""Grid unique names: what parses parses exactly, everything else is refused with the right shape in the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._model.errors import BadArgument, MalformedName
from softgrid._model.names import GridName, check_given_name, node_id, parse_name

GOOD = "worker|Worker@10.0.0.7[1234]:5001"
ROLES = st.sampled_from(["orchestrator", "router", "manager", "worker"])
PLAIN = st.characters(codec="utf-8", exclude_characters="|@[]", exclude_categories=["C", "Z"])


def test_a_name_is_taken_apart() -> None:
    assert parse_name(GOOD) == GridName("worker", "Worker", "10.0.0.7", 1234, 5001)


@PROPERTY
@given(
    ROLES,
    st.text(PLAIN, min_size=1, max_size=128),
    st.text(PLAIN, min_size=1, max_size=255),
    st.integers(0, 9_999_999_999),
    st.integers(0, 65535),
)
def test_what_is_formatted_parses_back(role, name, address, pid, port) -> None:
    made = GridName(role, name, address, pid, port)
    assert parse_name(str(made)) == made


@pytest.mark.parametrize("address", ["::1", "fe80::1%eth0", "node-7.cluster.example", "ünï.example"])
def test_addresses_of_every_kind_parse(address: str) -> None:
    assert parse_name(f"router|R@{address}[1]:2").address == address


def test_a_name_may_hold_blanks_and_letters_of_any_language() -> None:
    assert parse_name("worker|Größe 7 工@h[1]:2").name == "Größe 7 工"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "worker",
        "upgrid",
        "|W@h[1]:2",
        "boss|W@h[1]:2",
        "Worker|W@h[1]:2",
        "worker|@h[1]:2",
        "worker|W@[1]:2",
        "worker|W@h h[1]:2",
        "worker|W@h[]:2",
        "worker|W@h[1]:",
        "worker|W@h[-1]:2",
        "worker|W@h[1]:65536",
        "worker|W@h[1]:2 ",
        " worker|W@h[1]:2",
        "worker|W@h[1]:2\n",
        "worker|W|W@h[1]:2",
        "worker|W@W@h[1]:2",
        "worker|" + "W" * 129 + "@h[1]:2",
        "worker|W@" + "h" * 256 + "[1]:2",
        "worker|W\n@h[1]:2",
        "worker|W@h[12345678901]:2",
        None,
        7,
        b"worker|W@h[1]:2",
        ["worker|W@h[1]:2"],
    ],
)
def test_anything_else_is_malformed_and_the_error_shows_a_good_one(text: object) -> None:
    with pytest.raises(MalformedName, match=r"role\|name@address\[pid\]:port") as caught:
        parse_name(text, "receivers")
    assert caught.value.parameter == "receivers"


def test_the_parameter_is_called_grid_unique_name_unless_told_otherwise() -> None:
    with pytest.raises(MalformedName, match=r"^gridUniqueName: got 7"):
        parse_name(7)


@pytest.mark.parametrize("text", ["worker|W@h[\u0663]:\u0665", "worker|W@h[007]:2", "worker|W@h[1]:02"], ids=ascii)
def test_there_is_one_way_to_write_a_name(text: str) -> None:
    with pytest.raises(MalformedName):
        parse_name(text)


@pytest.mark.parametrize("text", ["worker|W@h\x1b[1]:2", "worker|W@h\x00[1]:2"], ids=ascii)
def test_control_characters_are_refused_in_addresses_too(text: str) -> None:
    with pytest.raises(MalformedName):
        parse_name(text.replace("[1]", "x[1]", 1))


def test_a_name_that_has_no_utf8_is_refused() -> None:
    with pytest.raises(MalformedName):
        parse_name("worker|\ud800@h[1]:2")


@pytest.mark.parametrize("name", ["W", "Worker 1", "a" * 128, "äöü", "a-b_c.d:e"])
def test_a_given_name_is_accepted_as_it_is(name: str) -> None:
    assert check_given_name(name) == name


@pytest.mark.parametrize("name", ["", "a" * 129, "a|b", "a@b", "a[b", "a]b", "a\nb", "a\x7fb", None, 7, b"W"])
def test_a_given_name_that_would_not_parse_back_is_refused(name: object) -> None:
    with pytest.raises(BadArgument, match=r"^name: got .*1 to 128 characters"):
        check_given_name(name)


def test_a_given_name_that_has_no_utf8_is_refused() -> None:
    with pytest.raises(BadArgument):
        check_given_name("\ud800")


@PROPERTY
@given(st.text(PLAIN, min_size=1, max_size=128))
def test_every_accepted_given_name_makes_a_name_that_parses(name: str) -> None:
    assert parse_name(f"worker|{check_given_name(name)}@h[1]:2").name == name


def test_the_id_of_a_name_is_the_same_for_everybody() -> None:
    assert node_id(GOOD) == 0xA4A0F4E599007CB8  # b2sum -l 64
    assert node_id(GOOD) == node_id(str(parse_name(GOOD)))


@PROPERTY
@given(st.text(PLAIN, max_size=40), st.text(PLAIN, max_size=40))
def test_ids_are_64_bits_and_differ_for_different_names(one: str, other: str) -> None:
    assert 0 <= node_id(one) < 2**64
    assert (node_id(one) == node_id(other)) == (one == other)
