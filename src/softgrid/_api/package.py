"""What the installed package says about itself; read from its own metadata."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from email.message import Message


def _found() -> Message | None:
    """Give the metadata of the installed package, or those that came with the bundle which this process runs from."""
    from softgrid._launch.bundle import METADATA, carried_importer

    importer = carried_importer()
    if importer is not None:
        from email import message_from_bytes

        return message_from_bytes(importer.get_data(METADATA))
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        return cast("Message", metadata("softgrid"))
    except PackageNotFoundError:
        return None


@lru_cache(maxsize=1)
def _metadata() -> dict[str, str]:
    found = _found()
    if found is None or not found["Version"]:
        return {}
    facts = {"version": found["Version"]}
    author, _, email = (found["Author-email"] or "").rpartition("<")
    facts["author"], facts["email"] = author.strip().strip('"'), email.rstrip("> ")
    for entry in found.get_all("Project-URL") or []:
        label, _, link = entry.partition(",")
        facts[label.strip().lower()] = link.strip()
    return facts


def get_version() -> str:
    """Give softgrid's version number; '0+unknown' where it runs without being installed."""
    return _metadata().get("version", "0+unknown")


def get_author() -> str:
    """Give the name of softgrid's author."""
    return _metadata().get("author", "")


def get_email() -> str:
    """Give the e-mail address of softgrid's author."""
    return _metadata().get("email", "")


def get_doc() -> str:
    """Give the link to softgrid's documentation."""
    return _metadata().get("documentation", "")


def get_repository() -> str:
    """Give the link to softgrid's repository."""
    return _metadata().get("repository", "")


def get_pypi() -> str:
    """Give softgrid's package URL at the Python package index (a purl, which names no host)."""
    return _metadata().get("pypi", "")
