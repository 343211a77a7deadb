"""A package, so that this folder and ``wire`` may both have a ``test_functions.py``."""
