"""Environment variables by which the processes of a grid are found again, whatever they did to get away."""

COOKIE = "SOFTGRID_GRID"
"""Every process of a grid has this one, with the cookie of the grid."""
SPARED = "SOFTGRID_SPARED"
"""The same for those among them that end by themselves in a moment, having passed on that everything ends."""
