"""What is used all over: the status of an operation, the files of a package."""

from softgrid._api.read_files import read_files
from softgrid._model.status import SoftgridStatus

__all__ = ["SoftgridStatus", "read_files"]

SoftgridStatus.__module__ = read_files.__module__ = __name__
