"""One module per taker, one function per workload: ``rtt1(report)``, ``throughput(report)``, ...

A variant of a taker is a prefix of the function: ``relayed_rtt3`` for ``floor-relayed``.

A function calls ``report`` with its figures as soon as it has them, still inside whatever it must
close afterwards. Modules import their package at the top, so that a missing one is told as such.
"""
