"""The four executors of a grid."""

from softgrid._api.executors import Manager, Orchestrator, Router, Worker

__all__ = ["Worker", "Manager", "Router", "Orchestrator"]

for _class in __all__:
    globals()[_class].__module__ = __name__
