"""How long a far machine believes in an owner that is silent, so that it ends what it runs when nobody will ask for it.

An owner that is busy (code of a user's that never lets go of the interpreter) sends nothing, and must not be taken for
gone: the kernel of its machine still acknowledges what is sent there, and when the owner ends, so does the connection.
"""

from __future__ import annotations

BUSY_S = 900.0
"""For how long a silent owner is believed to be busy because its machine answers: what answers may be a gateway."""
UNSEEN_S = 300.0
"""For how long a silent owner is believed in at least, where the kernel does not tell of its machine."""
UNSEEN_TOLERANCES = 5
LATE_S = 0.5


class Lease:
    """Whether the owner is still believed in; times are of the monotonic clock.

    >>> lease = Lease(60.0, now_s=0.0)
    >>> lease.is_over(59.0, heard_s=0.0, machine_s=0.0), lease.is_over(60.0, heard_s=0.0, machine_s=50.0)
    (False, False)
    >>> lease.is_over(110.0, heard_s=0.0, machine_s=50.0)
    True
    """

    def __init__(self, tolerance_s: float, now_s: float) -> None:
        self._tolerance_s = tolerance_s
        self._owner_s = self._machine_s = now_s
        self._due_s: float | None = None

    def due_in(self, seconds: float, now_s: float) -> None:
        """Say when the next look is meant to be; who looks later was not awake, and has not listened."""
        self._due_s = now_s + seconds

    def is_over(self, now_s: float, heard_s: float, machine_s: float | None) -> bool:
        """Look: the owner was last heard at *heard_s*, its machine at *machine_s*, or nobody can tell."""
        late_s = now_s - self._due_s if self._due_s is not None else 0.0
        if late_s > LATE_S:
            self._owner_s += late_s
            self._machine_s += late_s
        self._owner_s = max(self._owner_s, heard_s)
        if machine_s is None:
            return now_s - self._owner_s >= max(UNSEEN_S, UNSEEN_TOLERANCES * self._tolerance_s)
        self._machine_s = max(self._machine_s, machine_s, self._owner_s)
        busy_s = max(BUSY_S, self._tolerance_s)
        return now_s - self._machine_s >= self._tolerance_s or now_s - self._owner_s >= busy_s
