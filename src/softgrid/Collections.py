"""What is used all over: a status, what waiting gave, the files of a package, pictures and speeds of a grid."""

from softgrid._api.grid_graph import GridGraph
from softgrid._api.read_files import read_files
from softgrid._insight.speed import TransferSpeed
from softgrid._model.errors import Cancelled
from softgrid._model.status import SoftgridStatus
from softgrid._model.wait_result import WaitResult

__all__ = ["Cancelled", "GridGraph", "SoftgridStatus", "TransferSpeed", "WaitResult", "read_files"]

for _name in __all__:
    globals()[_name].__module__ = __name__
