"""Faults by the dozen: the rows of the matrix of reliability, the story that is killed at every point, and fuzzing."""
