"""Who this machine is, whatever it is called: the same for all its processes, another for every other machine.

A container counts as a machine of its own, since its limits are its own. Where that is wrong, or where the system
cannot tell, the environment variable SOFTGRID_MACHINE_ID says it.
"""

from __future__ import annotations

import os
from hashlib import blake2b

VARIABLE = "SOFTGRID_MACHINE_ID"


def machine_id() -> str:
    """Give the id: 32 hexadecimal digits that say nothing about the machine."""
    given = os.environ.get(VARIABLE)
    return blake2b((given or _of_system()).encode(), digest_size=16).hexdigest()


def _of_system() -> str:
    """Give what differs from boot to boot and from container to container."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()} {os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        import uuid

        return f"{os.uname().nodename} {uuid.getnode()}"
