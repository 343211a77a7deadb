"""Executors that join by hand, for the system tests: as scripts with softgrid, and as launch scripts without."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.system.grids import Grid, Running, Scripts
from tests.system.watching import wait_until

PASSWORD = f"correct horse battery staple {os.getpid()}"
"""Known to the grids of one process of tests only: their ports may be those of another's soon after."""
GUEST = """
from softgrid import Worker, Manager, Router
guest = {role}({kwargs})
status = guest.connect_to_grid({address!r}, {port}, {password!r}, blocking={blocking}{more})
tell('status', status)
"""


def a_guest(
    scripts: Scripts,
    grid: Grid,
    role: str = "Worker",
    *,
    port: int | None = None,
    address: str = "127.0.0.1",
    password: str = PASSWORD,
    kwargs: str = "",
    more: str = "",
    blocking: bool = True,
    then: str = "",
    **options: Any,
) -> Running:
    """Start a script whose executor joins that grid."""
    source = GUEST.format(
        role=role,
        kwargs=kwargs,
        address=address,
        port=port or grid.O.port,
        password=password,
        blocking=blocking,
        more=more,
    )
    return scripts.start(source + then, **options)


def await_guest(grid: Grid, plural: str = "workers", count: int = 1) -> str:
    """Wait until the orchestrator knows of so many; gives the last to come."""

    def names() -> list[str]:
        found: list[str] = getattr(grid.O, plural)
        return found if len(found) >= count else []

    return wait_until(names, what=f"{count} {plural}")[-1]


def script_of(executor: Any) -> str:
    """What ``launchScripts`` prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert executor.launchScripts is None
    return printed.getvalue()


@cache
def pythons() -> dict[str, str]:
    """The Pythons of this machine that softgrid runs on, by their minor versions."""
    found = {}
    tool = Path(__file__).parents[2] / "tools" / "find-python"
    for minor in ("3.10", "3.11", "3.12", "3.13"):
        run = subprocess.run([tool, minor], capture_output=True, text=True, check=False)
        if run.returncode == 0:
            found[minor] = run.stdout.strip()
    found.setdefault("{}.{}".format(*sys.version_info), sys.executable)
    return found


class Bare:
    """Runs launch scripts in Pythons where nothing is installed, in an empty home."""

    def __init__(self, scripts: Scripts, folder: Path) -> None:
        self._scripts = scripts
        self.folder = folder / "bare"
        (self.folder / "home").mkdir(parents=True)
        self.password_file = self.folder / "password"
        self.password_file.write_text(PASSWORD + "\n")
        self.password_file.chmod(0o600)
        self._count = 0

    def environment(self) -> dict[str, str]:
        """Nothing but what finds the processes again, and the programs of the system."""
        return {
            **self._scripts.traces.environment(),
            "HOME": str(self.folder / "home"),
            "PATH": os.defpath,
        }

    def save(self, text: str) -> Path:
        """Save a launch script as its user would."""
        self._count += 1
        path = self.folder / f"join{self._count}.py"
        path.write_text(text)
        return path

    def start(self, text: str, *options: str, python: str = sys.executable, prefix: tuple[str, ...] = ()) -> Running:
        """Start a launch script; it finds its password in a file unless the options say otherwise."""
        path = self.save(text)
        options = options or ("--password-file", str(self.password_file))
        output = path.with_suffix(".out")
        with open(output, "w") as out:
            process = subprocess.Popen(
                [*prefix, os.path.realpath(python) if prefix else python, "-I", "-S", str(path), *options],
                cwd=self.folder / "home",
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        running = Running(process, output, self._scripts.traces)
        self._scripts.started.append(running)
        return running

    def check_nothing_left(self) -> None:
        """Fail when the home of the bare Python holds anything."""
        assert list((self.folder / "home").rglob("*")) == []


class Namespaces:
    """Two network namespaces, joined by a cable; needs root and iproute2."""

    HERE, THERE = "10.77.0.1", "10.77.0.2"

    def __init__(self, mark: str) -> None:
        self.names = [f"sg{mark[:6]}{side}" for side in "ab"]
        self.ends = [f"v{mark[:6]}{side}" for side in "ab"]

    def __enter__(self) -> Namespaces:
        for name in self.names:
            self._ip("netns", "add", name)
        self._ip("link", "add", self.ends[0], "type", "veth", "peer", "name", self.ends[1])
        for name, end, address in zip(self.names, self.ends, (self.HERE, self.THERE), strict=True):
            self._ip("link", "set", end, "netns", name)
            self._ip("-n", name, "addr", "add", f"{address}/24", "dev", end)
            for device in (end, "lo"):
                self._ip("-n", name, "link", "set", device, "up")
        return self

    def __exit__(self, *exc: object) -> None:
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False)

    @staticmethod
    def _ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)

    def inside(self, side: int) -> tuple[str, ...]:
        """What to put before a command to run it in one of them."""
        return ("ip", "netns", "exec", self.names[side])

    def cut(self) -> None:
        """Pull the cable: neither end is told."""
        self._ip("-n", self.names[0], "link", "set", self.ends[0], "down")

    def drop(self, chain: str = "input") -> None:
        """Swallow all that comes into (or goes out of) the second; neither end is told."""
        rules = f"table inet dark {{\nchain {chain} {{\ntype filter hook {chain} priority 0; policy drop;\n}}\n}}\n"
        subprocess.run([*self.inside(1), "nft", rules], check=True, capture_output=True)

    def heal(self) -> None:
        """Swallow nothing any more."""
        subprocess.run([*self.inside(1), "nft", "delete table inet dark"], check=True, capture_output=True)


@contextlib.contextmanager
def namespaces(mark: str) -> Iterator[Namespaces | None]:
    """Two namespaces, or None where they are not allowed."""
    allowed = os.getuid() == 0 and shutil.which("ip") is not None
    if allowed:
        probe = subprocess.run(["ip", "netns", "add", f"sg{mark[:6]}p"], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", f"sg{mark[:6]}p"], capture_output=True, check=False)
        allowed = probe.returncode == 0
    if not allowed:
        yield None
        return
    with Namespaces(mark) as made:
        yield made
