"""What can go wrong, by cause. Code below the facade raises these; ``_api.boundary`` turns them into statuses.

SoftgridError
 ├─ BadArgument       the caller gave something that cannot be meant        (also ValueError)
 │   ├─ MalformedName     a grid unique name that does not parse
 │   ├─ Duplicate         the name is taken and ``replace`` is off
 │   └─ Missing           nothing is kept under that name                   (also KeyError)
 ├─ Refused           a rule or a role forbids it
 ├─ NoRoute           nobody of that name is on the grid
 ├─ PeerLost          the executor is gone; says of what, and how far it got
 ├─ TimedOut          the time given ran out; tracking was dropped
 ├─ Cancelled         the caller took its call back
 ├─ Unserializable    a value cannot travel; names the part of it
 ├─ Undecodable       bytes that are not what they should be
 ├─ RemoteFailure     the function itself raised on the other side
 ├─ LaunchFailed      an executor did not come up; says at which step
 ├─ NotInstalled      a package that only this feature needs is not there
 ├─ PortTaken         no port to be had
 ├─ HandshakeFailed   the peer is not who it should be, or is not softgrid
 ├─ TlsUnavailable    this machine cannot speak TLS 1.3 or make a certificate; says what to install
 └─ Closed            this executor has left its grid
"""

from __future__ import annotations

from typing import Any


class SoftgridError(Exception):
    """Base of everything softgrid raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _revived, (type(self), self.args, self.__dict__)


def _revived(kind: type[SoftgridError], args: tuple[Any, ...], attributes: dict[str, Any]) -> SoftgridError:
    """Make an error again from its pickle; its constructor takes other things than it keeps."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(attributes)
    return error


class BadArgument(SoftgridError, ValueError):
    """A parameter that cannot be meant: says its name, what was given and what is accepted."""

    def __init__(self, parameter: str, given: object, accepted: str) -> None:
        super().__init__(f"{parameter}: got {shorten(given)}, accepted is {accepted}")
        self.parameter = parameter


class MalformedName(BadArgument):
    """A grid unique name that does not parse."""


class Duplicate(BadArgument):
    """The name is taken and replacing was not asked for."""


class Missing(BadArgument, KeyError):
    """Nothing is kept under that name."""

    __str__ = Exception.__str__


class Refused(SoftgridError):
    """A rule or a role forbids it."""


class NoRoute(SoftgridError):
    """Nobody of that name is on the grid."""


class PeerLost(SoftgridError):
    """The executor is gone."""

    was_running: bool | None = None
    """Whether the call was the one that ran there when it died; None: nobody knows."""
    is_blamed = False
    """Whether the call is suspected of its death: it ran there, and nobody had asked for the end of that executor."""


class TimedOut(SoftgridError):
    """The time given ran out; the answer is no longer awaited."""


class Cancelled(SoftgridError):
    """The caller took its call back."""


class Unserializable(SoftgridError):
    """A value cannot travel."""


class Undecodable(SoftgridError):
    """Bytes that are not what they should be."""


class RemoteFailure(SoftgridError):
    """The function raised on the other side and its exception could not travel as itself."""


class LaunchFailed(SoftgridError):
    """An executor did not come up."""

    def __init__(self, step: str, reason: str, *, is_final: bool = False) -> None:
        super().__init__(f"launch failed at step '{step}': {reason}")
        self.step = step
        self.reason = reason
        self.is_final = is_final


class NotInstalled(SoftgridError):
    """A package that only some features need is not there."""


class PortTaken(SoftgridError):
    """No port to be had."""


class HandshakeFailed(SoftgridError):
    """The peer did not prove that it belongs here."""


class TlsUnavailable(SoftgridError):
    """This machine lacks what a private connection needs."""


class Closed(SoftgridError):
    """This executor has left its grid."""


def class_name(cls: type) -> str:
    """Give the name by which a class is known at both ends of a call; one that travels loses where it is nested."""
    return f"{cls.__module__}.{cls.__name__}".removeprefix("builtins.")[:512]


def shorten(value: object, limit: int = 120) -> str:
    """Give the repr of *value* on one line, cut to *limit* characters; never raises."""
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
