"""Objects as bytes and back, by pickle or by dill, whichever was asked for.

Called by the node for `add_object` and its neighbours, here and across the grid.  Users know a
serialised object as a dictionary, `{'object': bytes, 'loads': 'pickle'}`.  One that travels is of a
class of its own: who may not have code run here is not believed when it sends one.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from softgrid._model.errors import BadArgument, NotInstalled, SoftgridError, Undecodable, Unserializable
from softgrid._wire.culprit import find_culprit
from softgrid._wire.values import IN_BAND_LIMIT

KeepInBand = Callable[[pickle.PickleBuffer], bool]

PICKLE, DILL = "pickle", "dill"
_MODULES = {"cPickle": PICKLE, PICKLE: PICKLE, DILL: DILL}
_ACCEPTED = "'cPickle', 'pickle' or 'dill'"
_ACCEPTED_OBJECTS = (
    "what pickle.dumps or dill.dumps gave, or {'object': those bytes, 'loads': 'pickle' or 'dill'} "
    "(add_data takes anything as it is)"
)


class StoredObject(NamedTuple):
    """An object, and the module that revived it."""

    value: Any
    loads: str


class Serialized(NamedTuple):
    """An object on its way; the large buffers of arrays stand beside the bytes, so that nothing copies them."""

    raw: bytes
    loads: str
    buffers: list[Any]


def serialize(value: object, dumps: object = None, *, is_whole: bool = False) -> Serialized:
    """Serialise *value* by *dumps*; None: by pickle if it can, else by dill. *is_whole*: with no buffers beside.

    With None classes and functions of a script go along whole, as in any call.  Raises
    Unserializable, which names the part that will not go.
    """
    if dumps is not None and (not isinstance(dumps, str) or dumps not in _MODULES):
        raise BadArgument("dumps", dumps, f"None, {_ACCEPTED}")
    buffers: list[pickle.PickleBuffer] = []
    raw, loads = _dumped(value, dumps, None if is_whole else _keeping(buffers))
    return Serialized(raw, loads, buffers if loads == PICKLE else [])


def as_users_know_it(serialized: Serialized) -> dict[str, Any]:
    """Give a whole serialised object as the dictionary that `add_object` takes."""
    return {"object": serialized.raw, "loads": serialized.loads}


def revive(given: object) -> StoredObject:
    """Make an object again; raises BadArgument for what is none, Undecodable for what cannot be revived here."""
    raw, loads, buffers = given if isinstance(given, Serialized) else _checked(given)
    if loads is None:
        try:
            return StoredObject(_loaded(PICKLE, raw, buffers), PICKLE)
        except Undecodable as error:
            try:
                return StoredObject(_loaded(DILL, raw, buffers), DILL)
            except SoftgridError:
                raise error from error.__cause__
    return StoredObject(_loaded(loads, raw, buffers), loads)


def _keeping(buffers: list[pickle.PickleBuffer]) -> KeepInBand:
    def keep_in_band(buffer: pickle.PickleBuffer) -> bool:
        try:
            is_small = buffer.raw().nbytes <= IN_BAND_LIMIT
        except BufferError:  # not contiguous: only a copy can travel
            return True
        if not is_small:
            buffers.append(buffer)
        return is_small

    return keep_in_band


def _dumped(value: object, dumps: str | None, keep_in_band: KeepInBand | None) -> tuple[bytes, str]:
    if dumps == DILL:
        return _by_dill(value), DILL
    if dumps is not None:
        return _by_pickle(value, keep_in_band), PICKLE
    try:
        return _by_cloudpickle(value, keep_in_band), PICKLE
    except Exception as error:
        try:
            return _by_dill(value), DILL
        except SoftgridError as other:
            culprit = find_culprit(value, "object", error)
            raise Unserializable(f"cannot serialise {culprit}; and by dill: {other}") from error


def _by_pickle(value: object, keep_in_band: KeepInBand | None) -> bytes:
    try:
        return pickle.dumps(value, 5, buffer_callback=keep_in_band)
    except Exception as error:
        raise Unserializable(f"pickle cannot serialise the object: {type(error).__name__}: {error}") from error


def _by_cloudpickle(value: object, keep_in_band: KeepInBand | None) -> bytes:
    from cloudpickle import Pickler

    file = io.BytesIO()
    Pickler(file, 5, buffer_callback=keep_in_band).dump(value)
    return file.getvalue()


def _by_dill(value: object) -> bytes:
    dill = _import_dill()
    try:
        return dill.dumps(value)  # type: ignore[no-any-return]
    except Exception as error:
        raise Unserializable(f"dill cannot serialise the object: {type(error).__name__}: {error}") from error


def _import_dill() -> Any:
    try:
        import dill
    except ImportError as error:
        raise NotInstalled("dill is not installed here: pip install 'softgrid[dill]'") from error
    return dill


def _checked(given: object) -> tuple[bytes, str | None, list[Any]]:
    """The bytes of an object in one of the forms that users know, and the module that revives it, if they say so."""
    raw, loads = given, None
    if isinstance(given, Mapping):
        raw, loads = given.get("object"), given.get("loads")
        if not isinstance(loads, str) or loads not in _MODULES:
            raise BadArgument("obj['loads']", loads, _ACCEPTED)
    if isinstance(raw, str):
        raw = _latin(raw)
    if not isinstance(raw, (bytes, bytearray, memoryview)):
        raise BadArgument("obj", type(given), _ACCEPTED_OBJECTS)
    return bytes(raw), None if loads is None else _MODULES[loads], []


def _latin(text: str) -> bytes:
    """A text as the bytes of a pickle that somebody took for one."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise BadArgument("obj", text, _ACCEPTED_OBJECTS) from None


def _loaded(loads: str, raw: bytes, buffers: list[Any]) -> Any:
    try:
        return pickle.loads(raw, buffers=buffers) if loads == PICKLE else _import_dill().loads(raw)
    except NotInstalled:
        raise
    except Exception as error:
        raise Undecodable(f"{loads} cannot revive the object here: {type(error).__name__}: {error}") from error
