"""What helps to use other packages with a grid."""

from softgrid._api.repository_transfer import RepositoryTransfer

__all__ = ["RepositoryTransfer"]

RepositoryTransfer.__module__ = __name__
