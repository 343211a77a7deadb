"""Objects to bytes and back: by whom, what goes beside the bytes, and what is said when it cannot be."""

from __future__ import annotations

import pickle
import sys
import threading
from array import array
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from softgrid._model.errors import BadArgument, NotInstalled, Undecodable, Unserializable
from softgrid._store.objects import Serialized, StoredObject, as_users_know_it, revive, serialize


class Unwilling:
    """What cannot be serialised, and says so."""

    def __reduce__(self) -> Any:
        raise TypeError("not me")


class Buffered:
    """Something with a large buffer, as arrays have."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Buffered, (pickle.PickleBuffer(self.content),)


@pytest.fixture
def no_dill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dill", None)


@pytest.fixture
def dill(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A dill that serialises anything by keeping it, so that no test depends on what the true one cannot do."""
    fake = ModuleType("dill")
    kept: list[Any] = []

    def dumps(value: Any) -> bytes:
        if value == "refused":
            raise ValueError("dill does not want to")
        kept.append(value)
        return b"dilled %d" % (len(kept) - 1)

    def loads(raw: bytes) -> Any:
        return kept[int(raw.split()[1])]

    fake.dumps, fake.loads = dumps, loads  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "dill", fake)
    return fake


@pytest.mark.parametrize("dumps", [None, "pickle", "cPickle"])
def test_what_is_serialised_is_revived_with_standard_pickle(dumps: str | None) -> None:
    serialized = serialize({"k": [1, None]}, dumps)
    assert (serialized.loads, serialized.buffers) == ("pickle", [])
    assert pickle.loads(serialized.raw) == {"k": [1, None]}
    assert as_users_know_it(serialized) == {"object": serialized.raw, "loads": "pickle"}
    for form in (serialized, as_users_know_it(serialized)):
        assert revive(form) == StoredObject({"k": [1, None]}, "pickle")


def test_by_itself_what_belongs_to_a_script_goes_along_whole() -> None:
    space: dict[str, Any] = {"__name__": "__main__"}
    exec("class Mine:\n    value = 5", space)
    assert revive(serialize(space["Mine"]())).value.value == 5
    assert revive(serialize(lambda: 6)).value() == 6


def test_pickle_that_was_asked_for_does_what_pickle_does(no_dill: None) -> None:
    with pytest.raises(Unserializable, match=r"^pickle cannot serialise the object: .*lambda"):
        serialize(lambda: 1, "pickle")


def test_dill_that_was_asked_for_is_used_on_both_sides(dill: ModuleType) -> None:
    lock = threading.Lock()
    serialized = serialize(lock, "dill")
    assert serialized == (b"dilled 0", "dill", [])
    assert revive(serialized) == StoredObject(lock, "dill")


def test_the_true_dill_does_what_pickle_cannot() -> None:
    pytest.importorskip("dill")
    assert revive(serialize(lambda x: x + 1, "dill")).value(1) == 2


def test_dill_is_the_last_resort_when_nothing_is_asked_for(dill: ModuleType) -> None:
    lock = threading.Lock()
    assert revive(serialize(lock)) == StoredObject(lock, "dill")


def test_without_dill_the_remedy_is_told(no_dill: None) -> None:
    for act in (lambda: serialize(1, "dill"), lambda: revive({"object": b"x", "loads": "dill"})):
        with pytest.raises(NotInstalled, match=r"pip install 'softgrid\[dill\]'"):
            act()


def test_what_nobody_can_serialise_is_named_with_the_part_that_will_not_go(no_dill: None) -> None:
    with pytest.raises(Unserializable, match=r"cannot serialise object\['a'\]\[1\] .*not me; and by dill: .*softgrid"):
        serialize({"a": [1, Unwilling()]})


def test_dill_that_refuses_is_quoted(dill: ModuleType) -> None:
    with pytest.raises(Unserializable, match=r"^dill cannot serialise the object: ValueError: dill does not want to"):
        serialize("refused", "dill")


@pytest.mark.parametrize("dumps", ["json", "", 5, b"pickle", ["pickle"]])
def test_other_serialisers_are_refused(dumps: object) -> None:
    with pytest.raises(BadArgument, match=r"dumps: got .*None, 'cPickle', 'pickle' or 'dill'"):
        serialize(1, dumps)


@pytest.mark.parametrize("dumps", [None, "pickle"])
def test_large_buffers_travel_beside_the_bytes_uncopied(dumps: str | None) -> None:
    content = bytearray(b"x" * 100_000)
    serialized = serialize(Buffered(content), dumps)
    assert len(serialized.raw) < 1000
    [buffer] = serialized.buffers
    assert buffer.raw().obj is content
    assert bytes(revive(serialized).value.content) == content


def test_small_buffers_stay_with_the_bytes() -> None:
    serialized = serialize(Buffered(bytearray(10)))
    assert serialized.buffers == []
    assert bytes(revive(serialized).value.content) == bytes(10)


def test_a_buffer_that_is_no_whole_is_told_as_pickle_tells_it(no_dill: None) -> None:
    with pytest.raises(Unserializable, match="non-contiguous"):
        serialize(Buffered(memoryview(array("b", bytes(100_000)))[::2]))


def test_what_users_keep_is_whole() -> None:
    serialized = serialize(Buffered(bytearray(b"x" * 100_000)), is_whole=True)
    assert serialized.buffers == []
    assert pickle.loads(serialized.raw).content == b"x" * 100_000


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview, lambda raw: raw.decode("latin-1")])
def test_bytes_alone_are_revived_by_whoever_can(form: Callable[[bytes], Any], dill: ModuleType) -> None:
    assert revive(form(pickle.dumps([1], 0))) == StoredObject([1], "pickle")
    dill.dumps("kept")
    assert revive(form(b"dilled 0")) == StoredObject("kept", "dill")


def test_a_pickle_as_text_of_old_is_taken_too() -> None:
    assert revive({"object": pickle.dumps("ü", 0).decode("latin-1"), "loads": "cPickle"}).value == "ü"


@pytest.mark.parametrize("given", [5, None, [1], {"object": 5, "loads": "pickle"}, {"loads": "pickle"}, "日本"])
def test_what_is_no_serialised_object_is_refused_with_the_remedy(given: object) -> None:
    with pytest.raises(BadArgument, match=r"obj: got .*pickle\.dumps.*add_data takes anything"):
        revive(given)


@pytest.mark.parametrize("loads", [None, "json", 5, ["pickle"]])
def test_who_revives_must_be_known(loads: object) -> None:
    with pytest.raises(BadArgument, match=r"obj\['loads'\]: got .*'cPickle', 'pickle' or 'dill'"):
        revive({"object": pickle.dumps(1), "loads": loads})


@pytest.mark.parametrize("raw", [b"", b"nonsense", pickle.dumps([1])[:-3], b"cno_such_module\nthing\n."])
def test_what_cannot_be_revived_says_why(raw: bytes, no_dill: None) -> None:
    for given in (raw, {"object": raw, "loads": "pickle"}, Serialized(raw, "pickle", [])):
        with pytest.raises(Undecodable, match=r"^pickle cannot revive the object here: \w+Error: "):
            revive(given)
