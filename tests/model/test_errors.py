"""Errors: one tree, causes are types, texts say what to do, and nothing breaks while making them."""

from __future__ import annotations

import pickle

import pytest

from softgrid._model import errors
from softgrid._model.errors import (
    BadArgument,
    Duplicate,
    LaunchFailed,
    MalformedName,
    Missing,
    SoftgridError,
    shorten,
)

ALL = [value for value in vars(errors).values() if isinstance(value, type) and value.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_is_a_softgrid_error_with_a_meaning(kind: type) -> None:
    assert issubclass(kind, SoftgridError)
    assert kind.__doc__
    assert errors.__doc__ is not None
    assert kind.__name__ in errors.__doc__


def test_a_bad_argument_names_the_parameter_what_was_given_and_what_is_accepted() -> None:
    error = BadArgument("port", 70000, "an integer from 0 to 65535")
    assert str(error) == "port: got 70000, accepted is an integer from 0 to 65535"
    assert error.parameter == "port"
    assert isinstance(error, ValueError)


@pytest.mark.parametrize("kind", [MalformedName, Duplicate, Missing])
def test_the_kinds_of_bad_arguments_are_bad_arguments(kind: type[BadArgument]) -> None:
    with pytest.raises(BadArgument, match=r"^name: got 'x', accepted is another$"):
        raise kind("name", "x", "another")


def test_something_missing_can_be_caught_like_a_key_and_reads_like_a_sentence() -> None:
    error = Missing("name", "x", "a stored name")
    assert isinstance(error, KeyError)
    assert str(error) == "name: got 'x', accepted is a stored name"


@pytest.mark.parametrize("is_final", [True, False])
def test_a_failed_launch_says_at_which_step_and_why(is_final: bool) -> None:
    error = LaunchFailed("fork", "no memory", is_final=is_final)
    assert str(error) == "launch failed at step 'fork': no memory"
    assert (error.step, error.reason, error.is_final) == ("fork", "no memory", is_final)


@pytest.mark.parametrize(
    "error",
    [
        BadArgument("port", 1, "2"),
        MalformedName("name", 1, "2"),
        Duplicate("name", 1, "2"),
        Missing("name", 1, "2"),
        LaunchFailed("fork", "why", is_final=True),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_survives_the_trip_between_executors(error: SoftgridError) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert vars(back) == vars(error)


def test_a_short_value_is_shown_in_full() -> None:
    assert shorten([1, "two"]) == "[1, 'two']"


def test_a_long_value_is_cut_to_the_limit() -> None:
    shown = shorten("x" * 500, limit=20)
    assert len(shown) == 20
    assert shown.startswith("'xxx")
    assert shown.endswith("…")


def test_a_value_of_exactly_the_limit_is_not_cut() -> None:
    assert shorten("x" * 18, limit=20) == repr("x" * 18)


def test_a_value_is_shown_on_one_line() -> None:
    class Tall:
        def __repr__(self) -> str:
            return "first\n  second\t third"

    assert shorten(Tall()) == "first second third"


def test_a_value_whose_repr_fails_is_still_named() -> None:
    class Mute:
        def __repr__(self) -> str:
            raise OSError("no")

    assert shorten(Mute()) == "<Mute whose repr raised OSError>"
