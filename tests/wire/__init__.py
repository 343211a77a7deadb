"""A package, so that this folder and ``node`` may both have a ``test_functions.py``."""
