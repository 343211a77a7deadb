"""What holds for a whole grid: its rules, and how its log is written.

``RULES`` is read when an executor is made and handed down to every executor that is launched; change it before
making the Orchestrator. Each rule::

    machine_maximum_number_of_routers / _managers   None: no limit, or how many a machine may hold
    machine_maximum_number_of_workers               the same; -n stands for the number of cores minus n, at least 1
    overload_machine_rules                          {address: {rule: value}}: rules of single machines
    orchestrator_allow_managers / _workers          whether they may stand directly under the orchestrator
    <role>_allow_executing_udf                      whether executors of that role run functions of users
    execution_allow_negative_priority               whether calls may go before the ordinary ones
    execution_allow_none_priority                   whether calls may run at once, beside the queue
    log_<role>_kwargs                               keyword arguments of the Logger of executors of that role
    timeout_short / _long and their _multiplier     seconds, see get_small_transfer_wait_timeout and its neighbours
    transfer_collect_sleep_time                     accepted and not needed: waiting is by event
    joined_by_hand_allow_full_trust                 whether executors that joined by hand are trusted like launched
                                                    ones; False: only values of plain types are taken from them, and
                                                    they start nothing on machines other than their own
    transport_implementation                        'softgrid'
    transfer_compression_level                      0: as it is, or 1 (fast) to 9 (small): large messages to and from
                                                    other machines are compressed, which pays on slow links
    ssh_command                                     what executors of a machine reach others with: a command line or the
                                                    list of its words, e.g. ['ssh', '-F', 'my_ssh_config']
    ssh_accept_new_hosts                            whether the host key of a machine that was never seen is accepted
    fetch_modules                                   whether executors of other machines import what is missing there
                                                    from the orchestrator's, where it is there as source
    relaunch_maximum_remembered                     bytes of what an executor has given others to keep that it
                                                    remembers, so that those who are launched anew have it again: the
                                                    oldest is forgotten first; None: no limit, 0: nothing
    executor_maximum_shared_memory                  bytes in which an executor passes large values on without a copy;
                                                    None: a quarter of the machine's memory, 0: none, they are streamed
    cancel_grace_time                               seconds that the function of a call which is cancelled has to end
                                                    after KeyboardInterrupt was raised in it; then its worker is killed
    execution_maximum_queued_calls                  how many calls may wait in the queue of an executor; None: no limit
    execution_maximum_calls_beside                  how many may run beside it at once, each in a thread of its own
    execution_maximum_stored_results                under how many names an executor keeps results (*storeResult*)
    transfer_maximum_open_calls                     how many calls an executor may have made that are not answered
    transfer_maximum_message_bytes                  how large a call or a result may be that an executor puts together
                                                    in its own memory; None: half of the memory of its machine
    request_maximum_waiting                         how many requests may wait at an executor until they are answered
    log_maximum_waiting_bytes                       log records that wait to be written; then the oldest are dropped and
                                                    counted. What becomes of whoever meets another of these limits is
                                                    said in the guide to failures
    link_maximum_unacknowledged                     bytes that a link to another machine keeps until the other end has
                                                    said that they came, to send them again after a cut; when they are
                                                    that many, senders wait. None: any number, 0: a cut is the end

>>> from softgrid import Globals
>>> Globals.RULES['machine_maximum_number_of_managers']
1
"""

from __future__ import annotations

import copy
import re
import sys
import warnings
from datetime import datetime, timezone
from typing import Any

from softgrid._model.rules import DEFAULTS

with warnings.catch_warnings():
    warnings.simplefilter("ignore", SyntaxWarning)  # escape sequences in its docstrings, from Python 3.12 on
    from pysimplelog.SimpleLog import SingleLogger

__all__ = ["INTERACTIVE_MODE", "Logger", "RULES", "maxint"]

RULES: dict[str, Any] = copy.deepcopy(DEFAULTS)
maxint: int = sys.maxsize
INTERACTIVE_MODE: bool = hasattr(sys, "ps1") or bool(sys.flags.interactive) or "ipykernel" in sys.modules

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029]")
_OWN_TYPES = {
    "execution_started": ("EXECUTION STARTED", 5),
    "execution_finished": ("EXECUTION FINISHED", 5),
    "result": ("RESULT", 10),
    "stdout": ("STDOUT", 10),
    "stderr": ("STDERR", 20),
}


class _Terminal:
    """Whatever ``sys.stdout`` is at the moment of writing, so that redirecting it redirects the log."""

    def write(self, text: str) -> None:
        if sys.stdout is not None:
            try:
                sys.stdout.write(text)
            except UnicodeEncodeError:
                encoding = sys.stdout.encoding or "ascii"
                sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def read(self) -> str:
        return ""

    def flush(self) -> None:
        if sys.stdout is not None:
            sys.stdout.flush()


class Logger(SingleLogger):  # type: ignore[misc]
    """The log of an application: one per process, whatever makes it.

    Parameters are those of ``pysimplelog.SingleLogger``, except that it writes to whatever ``sys.stdout`` is at
    the time, and does not wait for the disk after each record unless ``flush=True``.

    >>> from softgrid.Globals import Logger
    >>> Logger(logToFile=False) is Logger()
    True
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if self._isInitialized:
            return
        kwargs.setdefault("stdout", _Terminal())
        kwargs.setdefault("flush", False)
        self._said_at: float | None = None
        super().__init__(*args, **kwargs)

    def custom_init(self, *args: Any, **kwargs: Any) -> None:
        """Add the log types of softgrid; called at the end of initialisation, to be extended by subclasses."""
        for log_type, (name, level) in _OWN_TYPES.items():
            self.add_log_type(log_type, name=name, level=level)

    def softgrid_log(
        self,
        logType: str,
        message: Any,
        gridUniqueName: str = "role:name@address",
        utcTime: float | None = None,
        data: Any = None,
        tback: Any = None,
    ) -> None:
        """Write a record that an executor made, with its origin and the time at which it was made.

        Parameters
          1. logType (str): the log type; one that this logger does not know yet is added
          2. message (object): what to say
          3. gridUniqueName (str): the executor that says it
          4. utcTime (None, float): when it was said, seconds since the epoch; None for now
          5. data (object): written after the message
          6. tback (None, str, list): traceback, written last

        Does not return anything. Does not block beyond writing.
        """
        if not self.is_logType(logType):
            self.add_log_type(logType, name=str(logType).upper())
        self._said_at = utcTime
        try:
            self.log(logType, f"{gridUniqueName} {_printable(str(message))}", data=data, tback=tback)
        finally:
            self._said_at = None

    def _get_header(self, logType: str, message: Any) -> str:
        if self._said_at is None:
            return str(super()._get_header(logType, message))
        said_at = datetime.fromtimestamp(self._said_at, timezone.utc).astimezone()
        return f"{said_at:%Y-%m-%d %H:%M:%S} - {self.name} <{self.logTypeNames[logType]}> "


def _printable(text: str) -> str:
    """Make control characters visible, so that a log line from elsewhere cannot steer the terminal."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
