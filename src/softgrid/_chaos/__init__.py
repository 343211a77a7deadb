"""Faults on purpose, for tests: off, and not even loaded, unless this process was started with ``SOFTGRID_CHAOS``."""
