"""The methods of an executor that other executors may call by name. What is not here cannot be reached from outside."""

from __future__ import annotations

REMOTE_METHODS = frozenset(
    {
        "get_executor_grid_path",
        "get_machine_info",
        "get_machine_rules",
        "get_remaining_executors_allowed",
        "log_and_transfer",
        "split_grid_unique_name",
        "statistics",
    }
)
