"""Stores on machines that only ssh reaches, and with executors that joined by hand."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.guests import PASSWORD
from tests.system.ssh_hosts import UNRESUMED, SshHosts
from tests.system.watching import pid_in, wait_until

from softgrid import Globals, Worker
from softgrid._model.rules import TRUST_RULE

pytestmark = pytest.mark.system

np = pytest.importorskip("numpy")


# -- over ssh --------------------------------------------------------------------------------------


def test_a_bare_machine_keeps_things_and_is_clean_when_its_executors_are_gone(
    hosts: SshHosts, make_grid: MakeGrid, tmp_path: Path
) -> None:
    def imported() -> Any:
        import sgafar  # type: ignore[import-not-found]

        return sgafar.value

    far = hosts.make("far")
    grid = make_grid(workers=0, rules=hosts.rules)
    grid.workers = far_workers(grid, 2)
    large = os.urandom(1 << 20)
    for kind in ("data", "object"):
        assert all(getattr(grid.O, f"transfer_add_{kind}")("large", large, grid.workers, timeout=60))
        assert getattr(grid.O, f"transfer_get_{kind}")("large", grid.workers, timeout=60) == [large] * 2
    (tmp_path / "sgafar.py").write_text("value = 'from afar'\n")
    for site in ("temporary", "memory"):
        sent = grid.O.transfer_add_package(str(tmp_path / "sgafar.py"), grid.workers, sitePackages=site, replace=True)
        assert all(sent)
        assert grid.call(imported, to=grid.workers) == ["from afar"] * 2
    paths = [status.data for status in grid.call("add_file", "f", "deep/a", "text", to=grid.workers)]
    assert all(path.startswith(str(far.tmp)) and os.path.exists(path) for path in paths)
    os.kill(pid_in(grid.workers[0]), signal.SIGKILL)
    wait_until(lambda: not os.path.exists(paths[0]), what="what the killed worker left is removed")
    assert os.path.exists(paths[1])


def far_workers(grid: Grid, count: int) -> list[str]:
    statuses, successful, failed = grid.O.launch_executor(["far"] * count, "Worker", {"relaunch": False}, timeout=30)
    assert failed == [], statuses
    return [item["gridUniqueName"] for item in successful]


@pytest.mark.parametrize("victim", ["supervisor", "connection"])
def test_however_a_machine_is_lost_no_home_is_left_on_it(hosts: SshHosts, make_grid: MakeGrid, victim: str) -> None:
    far = hosts.make("far")
    grid = make_grid(workers=0, rules={**hosts.rules, **UNRESUMED})
    (worker,) = far_workers(grid, 1)
    assert grid.one("add_file", "f", "a", "text", to=worker)
    assert os.listdir(far.tmp) != []
    os.kill(far.supervisor if victim == "supervisor" else far.sessions()[0], signal.SIGKILL)
    wait_until(lambda: not os.listdir(far.tmp) and not far.executors(), what="nothing is left there")


# -- with executors that joined by hand ------------------------------------------------------------


@pytest.fixture
def host(make_grid: MakeGrid) -> Grid:
    """A grid whose password is known, with a worker that was launched."""
    return make_grid(password=PASSWORD, allowExecutingUDF=False, logKwargs={"logToStdout": False})


@pytest.fixture
def guest(host: Grid, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A worker of this process that joined by hand."""
    monkeypatch.setattr(Globals, "INTERACTIVE_MODE", True)
    made = Worker(logKwargs={"logToStdout": False}, killAtDisconnect=False)
    status = made.connect_to_grid("127.0.0.1", host.O.port, PASSWORD)
    assert status, status
    yield made
    made.disconnect(kill=False)


def test_a_guest_keeps_and_is_kept_data_of_plain_types(host: Grid, guest: Any) -> None:
    everybody = [host.O.gridUniqueName, host.workers[0]]
    value = {"k": [1, (2.5, None)], "array": np.arange(1000)}
    assert all(guest.transfer_add_data("d", value, everybody))
    assert all((each["array"] == value["array"]).all() for each in guest.transfer_pop_data("d", everybody))
    assert host.O.transfer_add_data("d", value, guest.gridUniqueName)
    assert (host.O.transfer_pop_data("d", guest.gridUniqueName)["array"] == value["array"]).all()


def test_what_a_guest_would_have_run_is_refused_and_not_run(host: Grid, guest: Any, tmp_path: Path) -> None:
    class Explosive:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "exploded"),)

    mine = host.O.gridUniqueName
    (tmp_path / "sgguest.py").write_text("")
    source = f"import os\nos.mkdir({str(tmp_path / 'exploded')!r})\ndef f(): pass"
    refused = [
        guest.transfer_add_object("o", Explosive(), mine),
        guest.transfer_add_object("o", [1], mine),
        guest.transfer_add_data("d", Explosive(), mine),
        guest.transfer_add_udf("f", source, False, mine),
        guest.transfer_add_udf("f", abs, False, mine),
        guest.transfer_add_package(str(tmp_path / "sgguest.py"), mine),
    ]
    for status in refused:
        assert not status
        assert TRUST_RULE in status.error
    package = {"name": "sgguest", "type": "module", "files": {"sgguest.py": b""}}
    by_name = [
        ("add_object", ("o", pickle.dumps(Explosive()))),
        ("add_udf", ("f", source, False)),
        ("add_package", (package, "", "", "memory")),
        ("add_file", ("f", str(tmp_path / "file"), "text", None)),
        ("_keep_object", ("o", pickle.dumps(Explosive()), True)),
        ("_keep_udf", ("f", source, False, True)),
        ("_keep_package", (package, "memory", True)),
    ]
    for method, args in by_name:
        (status,) = guest.transfer(guest.get_transfer_template(method, args), mine, collect=True, transferTimeout=20)
        assert not status, method
    assert sorted(os.listdir(tmp_path)) == ["sgguest.py", "traces"]
    assert (host.O.get_object("o", default=0, mustExist=False), host.O.get_udf("f", default=0, mustExist=False)) == (
        0,
        0,
    )


def test_what_a_guest_hands_over_is_not_revived_here_either(host: Grid, guest: Any, tmp_path: Path) -> None:
    class Explosive:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "exploded"),)

    name = guest.gridUniqueName
    guest.add_data("d", Explosive())
    guest.add_object("o", pickle.dumps([1]))
    guest.add_udf("f", "def f(): pass", False)
    found = [
        getattr(host.O, f"transfer_get_{kind}")(*of, name)
        for kind, *of in (("data", "d"), ("object", "o"), ("udf", "f"))
    ]
    for status in found:
        assert not status
        assert TRUST_RULE in status.error
    assert os.listdir(tmp_path) == ["traces"]
    assert guest.get_object("o") == [1], "what was asked for and not believed is still there"


def test_a_guest_that_is_trusted_is_like_any_other(make_grid: MakeGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Globals, "INTERACTIVE_MODE", True)
    host = make_grid(password=PASSWORD, logKwargs={"logToStdout": False}, rules={TRUST_RULE: True})
    guest = Worker(logKwargs={"logToStdout": False}, killAtDisconnect=False)
    try:
        assert guest.connect_to_grid("127.0.0.1", host.O.port, PASSWORD)
        for kind, value, first in (("object", {1, 2}, ()), ("data", {1, 2}, ()), ("udf", abs, (False,))):
            assert getattr(guest, f"transfer_add_{kind}")("kept", value, *first, host.O.gridUniqueName)
            assert getattr(host.O, f"pop_{kind}")("kept") == value
            assert getattr(guest, f"add_{kind}")("kept", pickle.dumps(value) if kind == "object" else value, *first)
            assert getattr(host.O, f"transfer_pop_{kind}")("kept", guest.gridUniqueName) == value
    finally:
        guest.disconnect(kill=False)
