"""Small tools that know nothing of grids; every layer may use them, and they use none."""
