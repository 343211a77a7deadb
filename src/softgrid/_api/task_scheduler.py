"""TaskScheduler: tasks and jobs laid over the workers of a grid."""

from __future__ import annotations


class TaskScheduler:
    """What schedules tasks; an executor class inherits it beside ExecutorBase."""
