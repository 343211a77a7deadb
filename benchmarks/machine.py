"""Facts about the machine and the packages that a figure depends on; never its name.

Called by the command line and the page.
"""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path

DISTRIBUTIONS = (
    "softgrid",
    "cloudpickle",
    "ray",
    "dask",
    "distributed",
    "ipyparallel",
    "mpi4py",
    "mpich",
    "pandas",
)


def facts() -> dict[str, str]:
    """What to know about this machine before reading a figure."""
    return {
        "cores": f"{len(os.sched_getaffinity(0))} ({parse_cpu_model(_read('/proc/cpuinfo'))})",
        "memory": parse_memory(_read("/proc/meminfo")),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in DISTRIBUTIONS),
    }


def version(distribution: str) -> str:
    """Installed version, or that there is none."""
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(distribution)
    return "not installed"


def revision(root: Path) -> str:
    """Commit of the code in *root*, and whether ``src`` differs from it."""
    git = ["git", "-C", str(root)]
    with suppress(OSError):
        head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
        if head.returncode == 0:
            changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "src"]).returncode
            return head.stdout.strip() + (" with changes" if changed else "")
    return "unknown"


def load() -> str:
    """Load average over the last minute."""
    return f"{os.getloadavg()[0]:.2f}"


def parse_cpu_model(cpuinfo: str) -> str:
    """First ``model name`` of ``/proc/cpuinfo``."""
    for line in cpuinfo.splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def parse_memory(meminfo: str) -> str:
    """``MemTotal`` of ``/proc/meminfo`` in GiB."""
    for line in meminfo.splitlines():
        if line.startswith("MemTotal:"):
            return f"{int(line.split()[1]) / 1024**2:.1f} GiB"
    return "unknown"


def _read(path: str) -> str:
    with suppress(OSError):
        return Path(path).read_text()
    return ""
