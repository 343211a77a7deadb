"""One or many: what is given once is for all, a list has one for each, and anything else is named."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.trees import A1, A2

from softgrid._api.one_or_many import Peers, check_flag, check_name
from softgrid._model.errors import BadArgument, MalformedName


def test_what_is_given_once_is_for_all() -> None:
    peers = Peers("responder", [A1, A2])
    assert peers.names == [A1, A2]
    assert peers.each("errorLog", False, check_flag) == [False, False]
    assert peers.each_value("request", (1, 2, 3)) == [(1, 2, 3)] * 2


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_has_one_for_each(kind: Any) -> None:
    peers = Peers("responder", kind((A1, A2)))
    assert peers.each("errorLog", kind((True, False)), check_flag) == [True, False]
    assert peers.each_value("request", [1, [2]]) == [1, [2]]
    assert Peers("responder", kind(())).each("errorLog", True, check_flag) == []


def test_a_list_of_another_length_is_refused() -> None:
    peers = Peers("responder", [A1, A2])
    for parameter, call in (("errorLog", peers.each), ("request", peers.each_value)):
        with pytest.raises(BadArgument, match=rf"{parameter}: got 'a list of 3', .* as many as 'responder' \(2\)"):
            call(parameter, [True] * 3, *([check_flag] if parameter == "errorLog" else []))  # type: ignore[operator]


@pytest.mark.parametrize("given", [None, 5, {A1}, object()])
def test_what_is_neither_a_name_nor_a_list_is_refused(given: Any) -> None:
    with pytest.raises(BadArgument, match=r"responder: got .* accepted is a grid unique name or a list of these"):
        Peers("responder", given)


@pytest.mark.parametrize("given", ["nobody", "", None, 5, "workers"])
def test_what_is_no_name_is_refused(given: Any) -> None:
    for call in (lambda: Peers("responder", [A1, given]), lambda: check_name("responder", given)):
        with pytest.raises(MalformedName, match="responder: got "):
            call()


@pytest.mark.parametrize("given", [None, 0, 1, "yes", [True]])
def test_a_flag_is_true_or_false(given: Any) -> None:
    with pytest.raises(BadArgument, match=r"blocking: got .*, accepted is True or False"):
        check_flag("blocking", given)
    assert check_flag("blocking", True)
