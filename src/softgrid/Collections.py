"""What is used all over: the status of an operation, the files of a package."""

from softgrid._model.status import SoftgridStatus

__all__ = ["SoftgridStatus"]

SoftgridStatus.__module__ = __name__
