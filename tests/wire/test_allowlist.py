"""What is read of an executor that joined by hand: plain values as they are, everything else by name refused."""

from __future__ import annotations

import builtins
import collections
import contextlib
import datetime
import decimal
import fractions
import io
import os
import pathlib
import pickle
import pickletools
import struct
import sys
import types
import uuid
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._model import errors
from softgrid._model.errors import BadArgument, LaunchFailed, Missing, PeerLost, Refused, SoftgridError
from softgrid._model.status import SoftgridStatus
from softgrid._wire import allowlist
from softgrid._wire.allowlist import loads
from softgrid._wire.framing import FromGuest
from softgrid._wire.values import decode_value, encode_value

UTC = datetime.timezone.utc


def from_guest(value: object) -> Any:
    """Give a value as the grid gets it from an executor that joined by hand."""
    return decode_value(FromGuest(b"".join(encode_value(value))))


def same(value: object) -> None:
    found = from_guest(value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 7, -(2**80), 1.5, 2 + 3j, "text", b"bytes", bytearray(b"array"), ()),
        *([1, [2, (3, "x")]], {"a": {1: 2}}, {1, 2}, frozenset({3}), range(2, 9, 3), slice(1, None, 2)),
        *(b"x" * 100_000, bytearray(100_000), "y" * 100_000),
        *(collections.OrderedDict(b=1, a=2), collections.deque([1, 2], 5), collections.Counter("abracadabra")),
        *(collections.Counter(), collections.deque(), collections.defaultdict(list, {1: [2]})),
        *(collections.defaultdict(int, {1: 2}), collections.defaultdict(None, {1: 2})),
        *(datetime.date(2026, 1, 2), datetime.time(1, 2), datetime.timedelta(days=1, seconds=2)),
        *(datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime.datetime(2026, 1, 2)),
        datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=2), "east")),
        *(decimal.Decimal("1.25"), fractions.Fraction(1, 3), pathlib.PurePosixPath("/a/b"), pathlib.Path("a")),
        *(int, list, ValueError),
    ],
    ids=lambda value: type(value).__name__,
)
def test_plain_values_come_as_they_are(value: object) -> None:
    same(value)


@PROPERTY
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    )
)
def test_whatever_is_made_of_plain_values_comes_as_it_is(value: object) -> None:
    same(value)


@pytest.mark.parametrize(
    "array",
    [
        *(np.arange(10), np.zeros((3, 4), "f4"), np.ones((300, 300)), np.asfortranarray(np.ones((30, 40)))),
        *(np.array(["a", "bc"]), np.array([b"x"]), np.array([1, "x", None], object), np.array([], "i2")),
        *(np.array([True, False]), np.array(["2026-01-01"], "M8[D]"), np.arange(10)[::2], np.array(5)),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_come_as_they_are_and_can_be_written_to(array: np.ndarray[Any, Any]) -> None:
    found = from_guest(array)
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert (found == array).all()
    found[...] = found
    assert from_guest({"deep": [array]})["deep"][0].dtype == array.dtype


@pytest.mark.parametrize("scalar", [np.float64(1.5), np.int8(3), np.bool_(True), np.datetime64("2026-01-01")])
def test_scalars_of_numpy_and_types_of_arrays_come_as_they_are(scalar: Any) -> None:
    same(scalar)
    same(scalar.dtype)


@pytest.mark.parametrize("name", ["_reconstruct", "scalar"])
def test_names_of_another_numpy_are_understood(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find = allowlist._Unpickler(io.BytesIO(b"")).find_class
    assert find("numpy.core.multiarray", name) is find("numpy._core.multiarray", name)
    monkeypatch.setitem(sys.modules, "numpy._core.multiarray", None)  # as in numpy 1
    monkeypatch.setitem(sys.modules, "numpy.core.multiarray", types.SimpleNamespace(**{name: len}))
    assert find("numpy.core.multiarray", name) is find("numpy._core.multiarray", name) is len


@pytest.mark.parametrize(
    "error", [ValueError("no"), KeyError("k"), OSError(2, "no such file", "f"), KeyboardInterrupt(), UserWarning("w")]
)
def test_exceptions_of_python_come_as_they_are(error: BaseException) -> None:
    found = from_guest(error)
    assert type(found) is type(error)
    assert found.args == error.args


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no groups of exceptions")
def test_groups_of_exceptions_come_as_they_are() -> None:
    group = builtins.ExceptionGroup("several", [ValueError(1), KeyError(2)])  # type: ignore[attr-defined]
    found = from_guest(group)
    assert type(found) is type(group)
    assert [type(each) for each in found.exceptions] == [ValueError, KeyError]


def test_an_exceptions_own_attributes_come_along() -> None:
    error = ValueError("no")
    error.code = 7  # type: ignore[attr-defined]
    assert from_guest(error).code == 7


def test_statuses_and_errors_of_softgrid_come_as_they_are() -> None:
    status = SoftgridStatus(False, error="no", data={"a": 1}, name="n", exception=PeerLost("gone"))
    found = from_guest(status)
    assert (found.successful, found.error, found.data, found.name) == (False, "no", {"a": 1}, "n")
    assert type(found.exception) is PeerLost
    for error in (BadArgument("port", 7, "less"), LaunchFailed("fork", "no room"), Missing("name", 1, "another")):
        revived = from_guest(error)
        assert type(revived) is type(error)
        assert (str(revived), revived.__dict__) == (str(error), error.__dict__)


class Own:
    """A class of the user's own."""


def own_function() -> int:
    return 1


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Own(), "Own"),
        (Own, "Own"),
        (own_function, "own_function"),
        (lambda: 1, "a function"),
        (uuid.UUID(int=1), "uuid.UUID"),
        (os.system, "posix.system"),
        (eval, "builtins.eval"),
        (getattr, "builtins.getattr"),
        (np.random.default_rng, "numpy.random"),
        (collections.UserDict(), "UserDict"),
        (os.path.join, "posixpath.join"),
        (type, "builtins.type"),
        (object(), "builtins.object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_everything_else_is_refused_by_name_with_the_remedy(value: object, name: str) -> None:
    for each in (value, [1, {"deep": (value,)}]):
        with pytest.raises(Refused) as refusal:
            from_guest(each)
        assert name in str(refusal.value)
        assert "only values of plain types" in str(refusal.value)
        assert "joined_by_hand_allow_full_trust" in str(refusal.value)


def test_a_class_that_comes_along_with_its_value_is_named() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("class Sensor:\n    pass", namespace)
    with pytest.raises(Refused, match="it holds the class Sensor, which is defined there"):
        from_guest(namespace["Sensor"]())


# -- those who mean harm --------------------------------------------------------------------------

SPOILED: list[str] = []


def spoil(*args: object) -> None:
    SPOILED.append("spoiled")


def calling(module: str, name: str, *args: object) -> bytes:
    """A pickle that calls something by its name."""
    inner = pickle.dumps(args, 2)[2:-1]
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + inner + b"R."


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (__name__, "spoil"),
        ("os", "system"),
        ("posix", "system"),
        ("subprocess", "Popen"),
        ("builtins", "exec"),
        ("builtins", "__import__"),
        ("builtins", "open"),
        ("functools", "partial"),
        ("copyreg", "_reconstructor"),
        ("operator", "methodcaller"),
        ("importlib", "import_module"),
        ("numpy", "load"),
        ("numpy", "ndarray.__new__"),
        ("numpy.testing._private.utils", "runstring"),
        ("softgrid._model.errors", "__builtins__"),
        ("softgrid._model.errors", "shorten"),
        ("softgrid._model.errors", "_revived.__globals__"),
        ("softgrid._wire.allowlist", "import_module"),
        ("builtins", "ValueError.__class__"),
        ("collections", "namedtuple"),
        ("collections", "Counter.fromkeys"),
        ("pathlib", "Path.unlink"),
        ("pathlib", "os"),
    ],
)
def test_nothing_can_be_called_that_does_not_stand_there(module: str, name: str) -> None:
    for data in (calling(module, name, "true"), calling(module, name)):
        with pytest.raises(Refused, match="only values of plain types"):
            loads(data)
    stack_global = b"\x80\x04" + b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    with pytest.raises(Refused, match="only values of plain types"):
        loads(stack_global + b"\x93.")
    assert SPOILED == []


def test_extension_codes_and_persistent_ids_lead_nowhere() -> None:
    for data in (b"\x80\x02\x82\x01.", b"\x80\x02U\x01aQ."):
        with pytest.raises((ValueError, pickle.UnpicklingError)):
            loads(data)


@pytest.mark.parametrize("kind", allowlist._TYPES, ids=lambda kind: kind.__name__)
def test_types_that_are_given_as_they_are_cannot_be_changed(kind: type) -> None:
    with pytest.raises((TypeError, AttributeError)):
        kind.spoiled = True  # type: ignore[attr-defined]
    with pytest.raises((TypeError, AttributeError)):
        kind.__init__ = spoil  # type: ignore[misc]


def changing(get: bytes, name: str) -> bytes:
    """A pickle that sets an attribute of what *get* puts on the stack."""
    return b"\x80\x02" + get + b"N}U" + bytes([len(name)]) + name.encode() + b"I7\ns\x86b."


@pytest.mark.parametrize(
    ("module", "name"),
    [
        *allowlist._MAKERS,
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
        ("softgrid._model.errors", "PeerLost"),
        ("softgrid._model.errors", "_revived"),
    ],
)
def test_a_pickle_changes_nothing_but_what_is_its_own(module: str, name: str) -> None:
    data = changing(b"c" + f"{module}\n{name}\n".encode(), "spoiled")
    pickletools.dis(data, out=io.StringIO())
    with contextlib.suppress(AttributeError, TypeError):
        loads(data)
    for kind in (SoftgridStatus, SoftgridError, PeerLost, fractions.Fraction, collections.Counter, np.ndarray):
        assert not hasattr(kind, "spoiled")
    again = allowlist._Unpickler(io.BytesIO(b"")).find_class(module, name)
    assert not hasattr(again, "spoiled")
    for function in (allowlist._revive, allowlist._counter, allowlist._fraction, errors._revived):
        assert not hasattr(function, "spoiled")


def test_a_kind_of_errors_that_was_tampered_with_is_none() -> None:
    kind = allowlist._Unpickler(io.BytesIO(b"")).find_class("softgrid._model.errors", "PeerLost")
    kind._name = "shorten"
    with pytest.raises(KeyError):
        allowlist._revive(kind, (), {})


@pytest.mark.parametrize(
    "data",
    [
        calling("softgrid._model.errors", "_revived", 7, (), {}),
        calling("softgrid._model.errors", "_revived", "PeerLost", (), {}),
        calling("collections", "Counter", "abc"),
        calling("fractions", "Fraction", "1e999999999"),
    ],
)
def test_what_is_not_what_it_should_be_is_refused(data: bytes) -> None:
    with pytest.raises(Refused, match="that is none"):
        loads(data)


@PROPERTY
@given(st.binary(max_size=200), st.integers(0, 5))
def test_random_bytes_do_no_harm(data: bytes, shape: int) -> None:
    before = dict(vars(builtins))
    for payload in (b"\x00" + data, b"\x01" + struct.pack(">I", shape) + data, bytes([shape]) + data):
        with contextlib.suppress(Exception):
            decode_value(FromGuest(payload))
    assert dict(vars(builtins)) == before


def test_what_others_send_is_read_in_full() -> None:
    data = b"".join(encode_value(Own()))
    assert type(decode_value(data)) is Own
    assert type(decode_value(bytearray(data))) is Own
    with pytest.raises(Refused):
        decode_value(FromGuest(data))
