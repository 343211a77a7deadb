"""The command line: what a terminal can ask of softgrid.

Stands on the public names only, like any other program of a user, and nothing in the package
imports it.  `main` reads the arguments; `demo` is the one job that shows the whole path.
"""
