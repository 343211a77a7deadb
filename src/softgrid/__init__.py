"""softgrid: any connected machines as one soft grid."""

from os import environ as _environ

from softgrid import DDFS, Addons, Collections, Core, Executors, Globals
from softgrid._api.package import (
    get_author,
    get_doc,
    get_email,
    get_pypi,
    get_repository,
    get_version,
)
from softgrid._node.attempt import current_attempt
from softgrid.Executors import Manager, Orchestrator, Router, Worker

__all__ = [
    "Orchestrator",
    "Router",
    "Manager",
    "Worker",
    "Globals",
    "Core",
    "Executors",
    "Collections",
    "DDFS",
    "Addons",
    "current_attempt",
    "get_version",
    "get_author",
    "get_email",
    "get_doc",
    "get_repository",
    "get_pypi",
]

if "SOFTGRID_CHAOS" in _environ:  # faults on purpose, for tests; see softgrid._chaos
    from softgrid._chaos.injector import install_from_environment as _install

    _install()
