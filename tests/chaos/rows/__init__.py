"""The rows of the matrix, a module for each letter of their names."""

from importlib import import_module

MODULES = (
    "kills",
    "pauses",
    "network",
    "over_ssh",
    "relaunches",
    "memory",
    "disks",
    "limits",
    "clocks",
    "strangers",
    "endings",
)


def load() -> None:
    """Put all rows on the list."""
    for module in MODULES:
        import_module(f"tests.chaos.rows.{module}")
