"""Machines for the tests that are reached over ssh only: a real sshd each, on a free loopback port, with its own host
key, home, folder for temporary files, and a Python that has no packages.

Used by the fixtures and tests of this folder, and by benchmarks; never by softgrid.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import socket
import subprocess
import sys
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import SkipTest

from tests.system.watching import MARK, children_of, environment_of, parent_of, wait_until

from softgrid._io.machine_id import VARIABLE

if TYPE_CHECKING:
    from tests.system.grids import Traces

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/sbin"
SSHD = shutil.which("sshd", path=_PATH)

UNRESUMED = {"link_maximum_unacknowledged": 0}
"""With this rule the end of a connection is the end, whoever ended it."""

_NUMBERS = count()
_BARE: dict[str, Path] = {}
"""A Python without packages for each executable: what is made once is copied."""


@cache
def find_python(version: str) -> str:
    """Give a Python of that version on this machine, or skip the test."""
    finder = Path(__file__).parents[2] / "tools" / "find-python"
    found = subprocess.run([str(finder), version], capture_output=True, text=True, check=False).stdout.strip()
    if not found:  # one that softgrid cannot run on
        root = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
        found = next((str(path) for path in Path(root).glob(f"versions/{version}.*/bin/python")), "")
    if not found:
        raise SkipTest(f"this machine has no Python {version}")
    where = [shutil.which(found) or found, "-c", "import os,sys;print(os.path.realpath(sys.executable))"]
    return subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip()


def make_key(path: Path) -> str:
    """Make a key pair; gives the public half."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


def make_bare_python(folder: Path, executable: str) -> Path:
    """Make a Python without packages; gives its bin folder."""
    made = _BARE.get(executable)
    if made is not None and made.exists():
        shutil.copytree(made, folder, symlinks=True)
    else:
        subprocess.run([executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        _BARE[executable] = folder
    return folder / "bin"


def can_connect(enter: list[str], address: str, port: int) -> bool:
    """Whether a connection gets there from the network that the command *enter* leads into."""
    program = f"import socket;socket.create_connection(({address!r}, {port}), 2)"
    return subprocess.run([*enter, sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


class Namespace:
    """A network of its own, joined by a cable to this one, or to another; what comes in or goes out must be ssh.

    With *only_ssh* False everything may, as a gateway has to.
    """

    def __init__(self, beside: Namespace | None = None, *, only_ssh: bool = True) -> None:
        tools = [shutil.which(tool, path=_PATH) for tool in ("ip", "nft")]
        if os.getuid() or None in tools:
            raise SkipTest("making networks takes root, iproute2 and nftables: the other tests go over loopback")
        self._only_ssh = only_ssh
        number = self._make()
        self._cable = f"sg{number}"
        net = f"10.213.{number // 64}.{number % 64 * 4}".rpartition(".")
        self.near, self.address = (f"{net[0]}.{int(net[2]) + index}" for index in (1, 2))
        near6, self.address6 = (f"fd00:213:{number:x}::{index}" for index in (1, 2))
        there = ("-n", self.name)
        here = ("-n", beside.name) if beside is not None else ()
        try:
            self._lay_cable(here, self._cable)
            self._ip(*there, "link", "set", "lo", "up")
            for where, device, address, address6 in (
                (here, self._cable, self.near, near6),
                (there, "far", self.address, self.address6),
            ):
                self._ip(*where, "addr", "add", f"{address}/30", "dev", device)
                self._ip(*where, "link", "set", device, "up")
                if os.path.exists("/proc/net/if_inet6"):
                    self._ip(*where, "addr", "add", f"{address6}/64", "dev", device, "nodad")
        except subprocess.CalledProcessError as error:
            self.close()
            raise SkipTest(f"networks cannot be made here: {error.stderr}") from None

    def _lay_cable(self, here: tuple[str, ...], cable: str) -> None:
        """Make a cable, one end called *cable*, the other in this network and called 'far'."""
        self._ip(*here, "link", "add", cable, "type", "veth", "peer", "name", "far", "netns", self.name)

    def _make(self) -> int:
        """Make it, under a name that no other test has taken."""
        error = ""
        for _ in range(64):  # a cable may outlive its network for a moment, so that no number is used twice in a row
            number = os.getpid() * 8 + next(_NUMBERS)
            self.name = f"softgrid{number % 16384}"
            try:
                self._ip("netns", "add", self.name)
            except subprocess.CalledProcessError as failed:
                error = failed.stderr
            else:
                return number % 16384
        raise SkipTest(f"networks cannot be made here: {error}")

    @property
    def command(self) -> list[str]:
        """What runs a command there."""
        return ["ip", "netns", "exec", self.name]

    @property
    def addresses(self) -> list[str]:
        """Where a machine there listens."""
        return [self.address, *([self.address6] if os.path.exists("/proc/net/if_inet6") else [])]

    def allow_only(self, port: int) -> None:
        """Drop all that is not for or from *port* there, but what it says to itself and to its neighbours by IPv6."""
        if not self._only_ssh:
            return
        rules = "table inet only {\n"
        for chain, device, which in (("input", "iifname", "dport"), ("output", "oifname", "sport")):
            rules += f"chain {chain} {{\ntype filter hook {chain} priority 0; policy drop;\n"
            rules += f"{device} lo accept\ntcp {which} {port} accept\nip6 nexthdr icmpv6 accept\n}}\n"
        done = subprocess.run([*self.command, "nft", f"{rules}}}\n"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SkipTest(f"packets cannot be filtered here: {done.stderr}")

    def cut(self) -> None:
        """Pull the cable out."""
        self._ip("-n", self.name, "link", "set", "far", "down")

    def heal(self) -> None:
        """Put the cable in again."""
        self._ip("-n", self.name, "link", "set", "far", "up")

    def close(self) -> None:
        """Take the network away."""
        self._ip("netns", "del", self.name)

    @staticmethod
    def _ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class SshHost:
    """One machine, on loopback or in a network of its own."""

    def __init__(
        self,
        folder: Path,
        name: str,
        client_key: str,
        traces: Traces,
        python: str | None,
        sshd: str,
        namespace: Namespace | None = None,
    ) -> None:
        self.addresses = namespace.addresses if namespace is not None else ["127.0.0.1"]
        self.address = self.addresses[0]
        self.name = name
        self.folder = folder
        self.namespace = namespace
        self.own_files: list[str] = []
        """What the test itself put there."""
        self.home, self.tmp, self.bin = folder / "home", folder / "tmp", folder / "bin"
        for each in (folder, self.home, self.tmp):
            each.mkdir()
        self.key = make_key(folder / "host_key")
        (folder / "authorized_keys").write_text(client_key + "\n")
        if python is None:
            self.bin.mkdir()
        else:
            self.bin = make_bare_python(folder / "python", python)
        environment = {
            "HOME": self.home,
            "TMPDIR": self.tmp,
            "PATH": f"{self.bin}:/usr/bin:/bin" if python else str(self._shell_only()),
            MARK: traces.mark,
            VARIABLE: f"{traces.mark} {folder}",
        }
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        if namespace is not None:
            namespace.allow_only(self.port)
        listen = "\n".join(f"ListenAddress [{each}]:{self.port}" for each in self.addresses)
        config = folder / "sshd_config"
        config.write_text(
            f"{listen}\nHostKey {folder}/host_key\nPidFile none\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nUsePAM no\nPrintMotd no\n"
            f"SetEnv {' '.join(shlex.quote(f'{key}={value}') for key, value in environment.items())}\n{sshd}\n"
        )
        self._log = open(folder / "sshd.log", "w")  # noqa: SIM115  (as long as the process)
        self._enter = namespace.command if namespace is not None else []
        command = [*self._enter, str(SSHD), "-D", "-e", "-f", str(config)]
        self.process = subprocess.Popen(command, stderr=self._log, stdin=subprocess.DEVNULL)
        wait_until(self._answers, what=f"sshd of {name} listens: {self.log}")

    def _shell_only(self) -> Path:
        for tool in ("sh", "tail", "grep", "bash"):
            os.symlink(shutil.which(tool) or tool, self.bin / tool)
        return self.bin

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log
        return f"listening on {self.address} port {self.port}." in self.log

    @property
    def log(self) -> str:
        """What sshd has said."""
        return (self.folder / "sshd.log").read_text()

    @property
    def python(self) -> str:
        """The Python of this machine."""
        return str(self.bin / "python3")

    def sessions(self) -> list[int]:
        """The processes of sshd that serve a connection."""
        return sorted(children_of(self.process.pid))

    @property
    def supervisor(self) -> int:
        """The supervisor of the grid on this machine."""
        (session,) = self.sessions()
        processes = self.executors()
        servers = {session, *children_of(session)} - set(processes)
        (found,) = [pid for pid in processes if parent_of(pid) in servers]
        return found

    def executors(self) -> list[int]:
        """The processes of a grid on this machine."""
        found = []
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            try:
                if environment_of(pid).get("HOME") == str(self.home):
                    found.append(pid)
            except OSError:
                continue
        return found

    def files(self) -> list[str]:
        """What lies in its home and its folder for temporary files."""
        return [str(path) for each in (self.home, self.tmp) for path in each.rglob("*")]

    def reaches(self, other: SshHost) -> bool:
        """Whether a connection from this machine gets to the sshd of another one."""
        return can_connect(self._enter, other.address, other.port)

    def close(self) -> None:
        """Take the machine away."""
        self.process.terminate()
        self.process.wait()
        self._log.close()


class SshHosts:
    """The machines of one test, and a client that knows the way to them."""

    def __init__(self, folder: Path, traces: Traces) -> None:
        if SSHD is None or shutil.which("ssh") is None:
            raise SkipTest(
                "openssh-server and openssh-client are not on this machine: 'make test' as root installs them"
            )
        self.folder = folder / f"ssh{len(list(folder.glob('ssh*')))}"
        self.folder.mkdir()
        self.traces = traces
        self.identity = self.folder / "id"
        self._client_key = make_key(self.identity)
        self.config = self.folder / "config"
        self.known = self.folder / "known_hosts"
        self.known.touch()
        self.add_options(
            "*",
            f"IdentityFile {self.identity}\nIdentitiesOnly yes\nUserKnownHostsFile {self.known}\n"
            f"User {pwd.getpwuid(os.getuid()).pw_name}\nGlobalKnownHostsFile /dev/null",
        )
        self.hosts: list[SshHost] = []
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)

    @property
    def rules(self) -> dict[str, Any]:
        """The rules by which a grid finds these machines."""
        return {"ssh_command": ["ssh", "-F", str(self.config)]}

    def add_options(self, name: str, options: str) -> None:
        """Give the client options for the machines that *name* stands for."""
        with open(self.config, "a") as file:
            file.write(f"Host {name}\n{options}\n")

    def make(
        self,
        name: str,
        python: str | None = "",
        *,
        sshd: str = "",
        is_known: bool = True,
        namespace: Namespace | None = None,
    ) -> SshHost:
        """Make a machine that the client calls *name*, with that version of Python ('': this one; None: none)."""
        executable = None if python is None else find_python(python or ".".join(map(str, sys.version_info[:2])))
        host = SshHost(self.folder / name, name, self._client_key, self.traces, executable, sshd, namespace)
        self.hosts.append(host)
        self.know(name, host.port, host.key if is_known else None, address=host.address)
        return host

    def know(self, name: str, port: int, key: str | None, address: str = "127.0.0.1") -> None:
        """Tell the client of a machine, and of its key unless it is None."""
        self.add_options(name, f"HostName {address}\nPort {port}\nHostKeyAlias {name}")
        if key is not None:
            self.trust(name, key)

    def trust(self, name: str, key: str) -> None:
        """Have the client know the key of a machine by that name."""
        with open(self.known, "a") as file:
            file.write(f"{name} {key}\n")

    def check_left(self) -> None:
        """Fail unless nothing is left on any of them soon."""
        for host in self.hosts:
            wait_until(lambda host=host: not host.executors(), what=f"no process is left on {host.name}")  # type: ignore[misc]
            assert host.files() == host.own_files

    def close(self) -> None:
        """Take all machines away."""
        for host in self.hosts:
            host.close()
