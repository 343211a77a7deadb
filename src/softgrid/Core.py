"""The bases of all executors, each adding one concern to the one before it."""

from softgrid._api.assess_base import AssessBase
from softgrid._api.executor_base import ExecutorBase
from softgrid._api.grid_base import GridBase
from softgrid._api.launch_base import LaunchBase
from softgrid._api.machine_management import MachineManagement
from softgrid._api.methods_base import MethodsBase
from softgrid._api.requester_responder_base import RequesterResponderBase
from softgrid._api.task_scheduler import TaskScheduler
from softgrid._api.transfer_base import TransferBase

__all__ = [
    "GridBase",
    "MachineManagement",
    "TransferBase",
    "RequesterResponderBase",
    "MethodsBase",
    "AssessBase",
    "LaunchBase",
    "ExecutorBase",
    "TaskScheduler",
]

for _class in __all__:
    globals()[_class].__module__ = __name__
