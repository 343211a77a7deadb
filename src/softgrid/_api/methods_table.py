"""The methods of an executor that other executors may call by name. What is not here cannot be reached from outside."""

from __future__ import annotations

PROMPT_METHODS = frozenset({"log_and_transfer"})
"""Those that never wait: with priority None they run in the thread that received the call, in order of arrival."""

USERS_METHODS = frozenset({"add_file", "add_object", "add_package", "add_udf", "get_file", "pop_file"})
"""Those by which a caller has code run, so that they are open only where functions of users may run."""

ORDERED_METHODS = frozenset(
    {
        "_hand_over",
        "_keep_object",
        "_keep_package",
        "_keep_udf",
        "add_data",
        "add_object",
        "add_package",
        "add_udf",
        "get_data",
        "get_object",
        "get_udf",
        "pop_data",
        "pop_object",
        "pop_udf",
    }
)
"""Those that keep things: with priority None each caller's run beside the queue, in their order of arrival."""

REMOTE_METHODS = (
    frozenset(
        {
            "_clock",
            "_dump_repository",
            "_reflect",
            "assess_transfer_speed",
            "build_bridge",
            "destroy_bridge",
            "get_executor_grid_path",
            "get_machine_info",
            "get_machine_rules",
            "get_remaining_executors_allowed",
            "split_grid_unique_name",
            "statistics",
        }
    )
    | PROMPT_METHODS
    | USERS_METHODS
    | ORDERED_METHODS
)
