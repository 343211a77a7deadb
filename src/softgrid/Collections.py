"""What is used all over: the status of an operation, the files of a package, pictures and speeds of a grid."""

from softgrid._api.grid_graph import GridGraph
from softgrid._api.read_files import read_files
from softgrid._insight.speed import TransferSpeed
from softgrid._model.status import SoftgridStatus

__all__ = ["GridGraph", "SoftgridStatus", "TransferSpeed", "read_files"]

for _name in __all__:
    globals()[_name].__module__ = __name__
