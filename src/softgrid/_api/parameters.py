"""Which parameters an executor of each role accepts when it is launched."""

from __future__ import annotations

_COMMON = frozenset(
    {
        "name",
        "applicationName",
        "address",
        "port",
        "portFetch",
        "password",
        "allowExecutingUDF",
        "relaunch",
        "acceptRouters",
        "acceptManagers",
        "acceptWorkers",
        "temporaryDir",
        "permanentDir",
        "ddfsDir",
        "logKwargs",
        "rules",
        "killAtDisconnect",
        "heartMonitorFrequency",
        "heartbeatTolerance",
    }
)


def accepted_parameters(role: str) -> frozenset[str]:
    """Names of the parameters of an executor of *role*."""
    return _COMMON
