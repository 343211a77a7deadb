"""Tables on the disks of a grid's machines: each executor reads and writes those of its own."""

from softgrid._api.ddfs_etl import DDFSETL

__all__ = ["DDFSETL"]

DDFSETL.__module__ = __name__
