"""SoftgridStatus: the public answer that says whether something worked, and if not, why and what to do with it."""

from __future__ import annotations

from typing import Any


class SoftgridStatus:
    """The outcome of an operation. It is true when the operation succeeded.

    Parameters
      1. successful (bool): whether the operation succeeded
      2. message (None, str): what was done, one line
      3. error (None, str): what went wrong, with the remote traceback where there is one
      4. data (object): what belongs to the outcome; for a failed transfer the transfer kwargs, to send it again
      5. name (None, str): what the status is about
      6. exception (None, BaseException): the exception behind the error where it could travel

    >>> from softgrid.Collections import SoftgridStatus
    >>> bool(SoftgridStatus(True, message='object added'))
    True
    >>> print(SoftgridStatus(False, error='nobody of that name is on the grid'))
    failed: nobody of that name is on the grid
    """

    __slots__ = ("data", "error", "exception", "message", "name", "successful")

    def __init__(
        self,
        successful: bool = True,
        message: str | None = None,
        error: str | None = None,
        data: Any = None,
        name: str | None = None,
        exception: BaseException | None = None,
    ) -> None:
        self.successful = bool(successful)
        self.message = message
        self.error = error
        self.data = data
        self.name = name
        self.exception = exception

    def __bool__(self) -> bool:
        return self.successful

    def __str__(self) -> str:
        about = f"{self.name}: " if self.name else ""
        text = self.message if self.successful else self.error or self.message
        return f"{about}{'succeeded' if self.successful else 'failed'}{': ' + text if text else ''}"

    def __repr__(self) -> str:
        shown = [f"successful={self.successful}"]
        for field in ("name", "message", "error"):
            value = getattr(self, field)
            if value is not None:
                shown.append(f"{field}={value if len(value) < 200 else value[:199] + '…'!r}")
        if self.data is not None:
            shown.append(f"data=<{type(self.data).__name__}>")
        return f"SoftgridStatus({', '.join(shown)})"

    def __reduce__(self) -> tuple[Any, ...]:
        fields = (self.successful, self.message, self.error, self.data, self.name, self.exception)
        return (type(self), fields)
