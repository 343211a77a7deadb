"""Rules: the limits of a machine and the defaults of a grid, checked once and then frozen.

``Globals.RULES`` is the user's dictionary. It is read when an executor is made, checked here, and handed down to
every executor that is launched, so that nothing below ever looks at a global.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from softgrid._model.errors import BadArgument
from softgrid._model.roles import Role

_LOG: dict[str, Any] = {"logToFile": False, "logToStdout": True, "stdoutMaxLevel": None}

DEFAULTS: dict[str, Any] = {
    "overload_machine_rules": {},
    "machine_maximum_number_of_routers": None,
    "machine_maximum_number_of_managers": 1,
    "machine_maximum_number_of_workers": -1,
    "orchestrator_allow_managers": True,
    "orchestrator_allow_workers": True,
    "orchestrator_allow_executing_udf": False,
    "router_allow_executing_udf": False,
    "manager_allow_executing_udf": False,
    "worker_allow_executing_udf": True,
    "execution_allow_negative_priority": True,
    "execution_allow_none_priority": True,
    "log_orchestrator_kwargs": dict(_LOG),
    "log_router_kwargs": dict(_LOG),
    "log_manager_kwargs": dict(_LOG),
    "log_worker_kwargs": dict(_LOG),
    "timeout_long": 20,
    "timeout_long_multiplier": 3,
    "timeout_short": 5,
    "timeout_short_multiplier": 3,
    "transfer_collect_sleep_time": 0.001,
    "joined_by_hand_allow_full_trust": False,
    "transport_implementation": "softgrid",
    "executor_maximum_shared_memory": None,
    "link_maximum_unacknowledged": 16 * 1024 * 1024,
    "transfer_compression_level": 0,
    "ssh_command": "ssh",
    "ssh_accept_new_hosts": False,
    "fetch_modules": True,
    "cancel_grace_time": 2,
    "execution_maximum_queued_calls": 100_000,
    "execution_maximum_calls_beside": 1_000,
    "execution_maximum_stored_results": 10_000,
    "transfer_maximum_open_calls": 1_000_000,
    "transfer_maximum_message_bytes": None,
    "request_maximum_waiting": 100_000,
    "log_maximum_waiting_bytes": 32 * 1024 * 1024,
    "relaunch_maximum_remembered": 64 * 1024 * 1024,
}
"""Every rule with its default; what each means stands in ``softgrid.Globals``."""

TRUST_RULE = "joined_by_hand_allow_full_trust"

LARGEST = 1e12
"""No number of seconds or things is beyond this; infinity and not-a-number are."""


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST


def _is_maximum(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def _is_limit(value: object) -> bool:
    return value is None or (_is_maximum(value) and value >= 0)  # type: ignore[operator]


_QUOTING = frozenset("'\"\\#")
"""What makes a command line more than words; every executor checks the rules, and few have any of this in them."""


def _is_command(value: object) -> bool:
    if isinstance(value, str):
        if not _QUOTING & set(value):
            return bool(value.split())
        try:
            import shlex

            return bool(shlex.split(value))
        except ValueError:  # a quotation without an end
            return False
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(word, str) for word in value)


_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "boolean": (lambda value: isinstance(value, bool), "True or False"),
    "limit": (_is_limit, "None (no limit) or an integer >= 0"),
    "maximum": (
        _is_maximum,
        "None (no limit), a limit >= 0, or -n for the number of cores minus n",
    ),
    "positive": (lambda value: _is_number(value) and value > 0, "a finite number > 0"),
    "mapping": (lambda value: type(value) is dict or isinstance(value, Mapping), "a dictionary"),
    "level": (lambda value: type(value) is int and 0 <= value <= 9, "an integer from 0 (off) to 9 (smallest)"),
    "text": (lambda value: isinstance(value, str), "a string"),
    "command": (_is_command, "a command line, or the list of its words"),
}


def _kind_of(key: str) -> str:
    if "_allow_" in key or key in ("ssh_accept_new_hosts", "fetch_modules"):
        return "boolean"
    if key == "ssh_command":
        return "command"
    if "_maximum_" in key:
        return "maximum" if key.endswith("workers") else "limit"
    if key.startswith(("timeout_", "transfer_collect_", "cancel_grace_")):
        return "positive"
    if key.endswith("_level"):
        return "level"
    return "text" if key == "transport_implementation" else "mapping"


def check_rule(key: object, value: object) -> None:
    """Raise BadArgument when there is no such rule or it cannot have this value."""
    if not isinstance(key, str) or key not in DEFAULTS:
        raise BadArgument("rules", key, f"one of the rules {', '.join(sorted(DEFAULTS))}")
    is_good, accepted = _KINDS[_kind_of(key)]
    if not is_good(value):
        raise BadArgument(f"rules[{key!r}]", value, accepted)


def _copied(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give a copy whose dictionaries and lists are new all the way down; what else a rule may be, nobody can change."""
    return {key: _copied_value(value) for key, value in values.items()}


def _copied_value(value: Any) -> Any:
    if isinstance(value, dict):
        return _copied(value)
    return list(map(_copied_value, value)) if isinstance(value, list) else value


class Rules:
    """A checked, frozen set of rules.

    >>> Rules({'machine_maximum_number_of_workers': 4}).maximum('worker', cores=16)
    4
    >>> Rules().maximum('worker', cores=16)
    15
    """

    def __init__(self, given: Mapping[str, Any] | None = None) -> None:
        merged = {**DEFAULTS, **(given or {})}
        for key in given or ():
            check_rule(key, merged[key])
        merged = _copied(merged)
        for address, own in merged["overload_machine_rules"].items():
            if not isinstance(own, Mapping):
                raise BadArgument(f"overload_machine_rules[{address!r}]", own, "a dictionary of rules")
            for key, value in own.items():
                if key == "overload_machine_rules":
                    raise BadArgument(f"overload_machine_rules[{address!r}]", key, "rules of one machine")
                check_rule(key, value)
        self._values = merged

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rules) and self._values == other._values

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        changed = {key: value for key, value in self._values.items() if value != DEFAULTS[key]}
        return f"Rules({changed})"

    def as_dict(self) -> dict[str, Any]:
        """Give a copy that the receiver may change."""
        return _copied(self._values)

    def updated(self, changes: Mapping[str, Any]) -> Rules:
        """Give new rules that differ by *changes*."""
        return Rules({**self._values, **changes})

    def for_machine(self, address: str) -> Rules:
        """Give the rules that hold on the machine at *address*."""
        own = self._values["overload_machine_rules"].get(address)
        return self.updated(own) if own else self

    def for_machine_set(self, address: str, own: Mapping[str, Any]) -> Rules:
        """Give new rules in which the machine at *address* has rules of its own."""
        return self.updated(
            {
                "overload_machine_rules": {
                    **self._values["overload_machine_rules"],
                    address: dict(own),
                }
            }
        )

    def maximum(self, role: Role, cores: int) -> int | None:
        """How many executors of *role* a machine with that many cores may hold; None when there is no limit."""
        limit: int | None = self._values[f"machine_maximum_number_of_{role}s"]
        if limit is not None and limit < 0:
            return max(1, cores + limit)
        return limit

    def may_execute(self, role: Role) -> bool:
        """Whether executors of *role* run functions of users unless told otherwise."""
        return bool(self._values[f"{role}_allow_executing_udf"])

    def log_kwargs(self, role: Role) -> dict[str, Any]:
        """The logger's keyword arguments for executors of *role*."""
        return _copied(dict(self._values[f"log_{role}_kwargs"]))
