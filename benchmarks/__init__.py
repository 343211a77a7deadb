"""How fast softgrid is, beside a floor and beside its peers, measured in one run.

``python -m benchmarks`` runs every workload of :mod:`benchmarks.plan`; each repeat is a fresh
process (``python -m benchmarks._one <peer> <workload>``), peers taken in turn. Nothing in here is
imported by softgrid, and no test asserts a time.
"""
