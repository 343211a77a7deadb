"""The methods of an executor that other executors may call by name. What is not here cannot be reached from outside."""

from __future__ import annotations

REMOTE_METHODS = frozenset(
    {
        "_clock",
        "_dump_repository",
        "_reflect",
        "assess_transfer_speed",
        "get_executor_grid_path",
        "get_machine_info",
        "get_machine_rules",
        "get_remaining_executors_allowed",
        "log_and_transfer",
        "split_grid_unique_name",
        "statistics",
    }
)

PROMPT_METHODS = frozenset({"log_and_transfer"})
"""Those that never wait: with priority None they run in the thread that received the call, in order of arrival."""
