"""What is used all over: the status of an operation, what waiting gave, the files of a package."""

from softgrid._api.read_files import read_files
from softgrid._model.status import SoftgridStatus
from softgrid._model.wait_result import WaitResult

__all__ = ["SoftgridStatus", "WaitResult", "read_files"]

SoftgridStatus.__module__ = WaitResult.__module__ = read_files.__module__ = __name__
