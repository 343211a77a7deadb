"""Descriptors that somebody holds: closed once, when the last holder lets go."""

from __future__ import annotations

import contextlib
import os

from softgrid._io.descriptors import Descriptors


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def test_they_are_closed_when_nobody_holds_them_any_more() -> None:
    numbers = os.pipe()
    one = Descriptors(*numbers)
    other = one
    del one
    assert all(is_open(number) for number in numbers)
    assert len(other) == 2
    del other
    assert not any(is_open(number) for number in numbers)


def test_they_can_be_closed_early_and_only_once() -> None:
    numbers = os.pipe()
    held = Descriptors(*numbers)
    held.close()
    assert len(held) == 0
    again = os.pipe()
    assert set(again) == set(numbers), "the numbers are somebody else's now"
    held.close()
    del held
    assert all(is_open(number) for number in again)
    Descriptors(*again).close()


def test_how_many_are_held_is_known() -> None:
    before = Descriptors.held
    held = Descriptors(*os.pipe())
    assert Descriptors.held == before + 2
    held.close()
    assert Descriptors.held == before
    del held
    assert Descriptors.held == before


def test_one_that_is_closed_already_does_not_keep_the_others_open() -> None:
    one, other = os.pipe()
    os.close(one)
    held = Descriptors(one, other)
    with contextlib.suppress(OSError):
        held.close()
    was_open = is_open(other)
    if was_open:
        os.close(other)
    assert not was_open
