"""Grid unique names for tests, made the way executors make them."""

from __future__ import annotations

HERE = "10.0.0.1"

ORCHESTRATOR = f"orchestrator|Top@{HERE}[1]:5000"


def a_name(role: str, name: str | int = "A", address: str = HERE, pid: int = 7) -> str:
    """Give the grid unique name of an executor of *role*."""
    return f"{role}|{name}@{address}[{pid}]:5001"
