"""Files that executors keep on disk: whole or not at all, private, within their roots, and gone with their executor."""

from __future__ import annotations

import json
import os
import pickle
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import SOURCE, Grid, MakeGrid, Scripts, Traces
from tests.system.watching import pid_in, wait_until

from softgrid import Collections

pytestmark = pytest.mark.system


def write_json(data: Any, path: str, indent: int | None = None) -> None:
    Path(path).write_text(json.dumps(data, indent=indent))


def read_json(path: str, key: str | None = None) -> Any:
    found = json.loads(Path(path).read_text())
    return found if key is None else found[key]


def refuse(*_: Any) -> None:
    raise ValueError("not today")


def at_worker(grid: Grid, method: str, *args: Any, **kwargs: Any) -> Any:
    """Call a method of the first worker there, as its own user would."""

    def call(executor: Any, method: str, args: Any, kwargs: Any) -> Any:
        return getattr(executor, method)(*args, **kwargs)

    return grid.one(call, method, args, kwargs, first=True)


def files_below(folder: Any) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if not path.is_dir())


@pytest.fixture
def permanent(tmp_path: Path) -> Path:
    return tmp_path / "permanent"


@pytest.fixture
def own(make_grid: MakeGrid, permanent: Path) -> Grid:
    """A grid of an orchestrator and a worker that share a permanent folder."""
    grid = make_grid(workers=0, permanentDir=str(permanent))
    grid.workers = grid.launch("Worker", executorKwargs={"permanentDir": str(permanent)})
    return grid


# -- written and read ------------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["", "größe\r\n\0", b"", b"\x00\xff", bytearray(b"ab")])
def test_text_and_bytes_come_back_as_they_were(own: Grid, data: Any) -> None:
    status = own.O.add_file("f", "a/b", data)
    assert status
    assert status.name == "f"
    assert own.O.get_file("f") == data
    assert os.path.isfile(status.data)
    assert at_worker(own, "add_file", "f", "a/b", data)
    assert at_worker(own, "get_file", "f") == data


def test_files_and_their_folders_are_private(own: Grid) -> None:
    for root in ("temporary", "permanent"):
        path = Path(at_worker(own, "add_file", "f", "a/b", "text", root=root).data)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("form", ["callable", "source", "source in a dictionary", "serialised", "stored"])
def test_functions_that_write_and_read_are_given_in_every_form(own: Grid, form: str) -> None:
    write: Any
    read: Any
    if form == "callable":
        write, read = write_json, read_json
    elif form.startswith("source"):
        write = "def w(data, path, indent=None):\n import json\n with open(path, 'w') as f: json.dump(data, f)"
        read = (
            "import json\ndef r(path, key=None):\n with open(path) as f: d = json.load(f)\n return d[key] if key else d"
        )
        if form != "source":
            write, read = {"source": write}, {"source": read, "name": "r"}
    elif form == "serialised":
        write, read = ({"object": pickle.dumps(f), "loads": "pickle"} for f in (write_json, read_json))
    else:
        write, read = "my write", "my_read"
        assert at_worker(own, "add_udf", write, write_json, False)
        assert at_worker(own, "add_udf", read, read_json, False)
    assert at_worker(own, "add_file", "f", "a", {"k": [1]}, writeFunc=write, wargs=[2], readFunc=read)
    assert at_worker(own, "get_file", "f") == {"k": [1]}
    assert at_worker(own, "get_file", "f", rargs=["k"]) == [1]
    assert at_worker(own, "get_file", "f", rkwargs={"key": "k"}) == [1]


def test_one_file_serves_several_executors_of_a_machine(own: Grid) -> None:
    path = own.O.add_file("mine", "shared", {"k": 1}, root="permanent", writeFunc=write_json).data
    assert at_worker(own, "add_file", "theirs", path, None, root=None, readFunc=read_json)
    assert at_worker(own, "add_file", "too", "shared", None, root="permanent")
    assert at_worker(own, "get_file", "theirs") == {"k": 1}
    assert at_worker(own, "get_file", "too") == '{"k": 1}'
    assert at_worker(own, "pop_file", "theirs", delete=True)["data"] == {"k": 1}
    assert not own.O.get_file("mine"), "the file is gone"
    assert own.O.get_file("mine", default="gone", mustExist=False) == "gone"
    for root in (None, "", "temporary", "permanent"):
        status = at_worker(own, "add_file", "none", path if not root else "shared", None, root=root)
        assert "existing file" in status.error


def test_what_is_popped_can_be_added_again(own: Grid) -> None:
    assert own.O.add_file("f", "a", [1], writeFunc=write_json, wkwargs={"indent": 1}, readFunc=read_json)
    params = own.O.pop_file("f", delete=True)
    assert params == {
        "name": "f",
        "path": "a",
        "data": [1],
        "root": "temporary",
        "writeFunc": write_json,
        "wargs": None,
        "wkwargs": {"indent": 1},
        "readFunc": read_json,
    }
    assert not own.O.pop_file("f")
    assert own.O.pop_file("f", default="none", mustExist=False) == "none"
    path = own.O.add_file(**params).data
    assert own.O.pop_file("f")["data"] == [1]
    assert os.path.exists(path), "without delete the file stays"


def test_names_and_paths_are_replaced_only_where_they_may_be(own: Grid) -> None:
    assert own.O.add_file("f", "a", "old")
    assert own.O.add_file("too", "a", None)
    for name, path in (("f", "b"), ("g", "a")):
        status = own.O.add_file(name, path, "new", replace=False)
        assert "replace=True" in status.error
    assert (own.O.get_file("f"), own.O.get_file("too")) == ("old", "old")
    assert own.O.add_file("g", "a", "new")
    assert own.O.get_file("g") == "new"
    assert not own.O.get_file("f"), "a replaced file loses all names that it had"
    assert not own.O.get_file("too")


def test_others_call_file_methods_by_name_where_functions_of_users_may_run(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, workers=1)
    call = {"args": ("f", "a", [1]), "kwargs": {"writeFunc": write_json, "readFunc": read_json}}
    added = grid.O.transfer({"function": "add_file", **call}, [grid.workers[0], grid.managers[0]], collect=True)
    assert added[0]
    assert "allow_executing_udf" in added[1].error
    assert grid.one("get_file", "f") == [1]
    assert grid.one("pop_file", "f")["data"] == [1]


# -- what must not be ------------------------------------------------------------------------------


@pytest.mark.parametrize("root", ["temporary", "permanent"])
@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/x", "a/\0", "n" * 300, "", "a/", ".", 5, None, ["a"]])
def test_paths_that_leave_their_root_or_are_none_are_refused(own: Grid, permanent: Path, root: str, path: Any) -> None:
    status = at_worker(own, "add_file", "f", path, "text", root=root)
    assert status.error.startswith("path: got")
    assert files_below(permanent) == []
    assert not at_worker(own, "get_file", "f")


@pytest.mark.parametrize("path", ["relative", "/a/../b", "/a\0", "/" + "n" * 300, "/proc/nothing/can/be/here"])
def test_absolute_paths_that_cannot_be_are_refused(own: Grid, path: str) -> None:
    for root in (None, ""):
        assert not at_worker(own, "add_file", "f", path, "text", root=root)
    assert not at_worker(own, "get_file", "f")


def test_no_link_leads_out_of_a_root(own: Grid, permanent: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    permanent.mkdir()
    (permanent / "way").symlink_to(tmp_path / "outside")
    (permanent / "file").symlink_to(tmp_path / "outside" / "secret")
    assert not own.O.add_file("f", "way/new", "text", root="permanent")
    assert not own.O.add_file("f", "way/secret", None, root="permanent")
    assert not own.O.add_file("f", "file", None, root="permanent")
    assert own.O.add_file("f", "file", "text", root="permanent"), "a link may be replaced, not followed"
    assert files_below(tmp_path / "outside") == ["secret"]
    assert (tmp_path / "outside" / "secret").read_text() == "secret"


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("root", "elsewhere"),
        ("writeFunc", 5),
        ("writeFunc", "no_such_function"),
        ("readFunc", "def f(:"),
        ("wargs", "abc"),
        ("wkwargs", [1]),
        ("data", 5),
        ("name", ""),
    ],
)
def test_bad_parameters_are_named(own: Grid, parameter: str, value: Any) -> None:
    given = {"name": "f", "path": "a", "data": "text", parameter: value}
    status = own.O.add_file(**given)
    assert isinstance(status, Collections.SoftgridStatus)
    assert status.error.startswith(f"{parameter}: got")


def test_functions_that_raise_change_nothing_and_say_why(own: Grid) -> None:
    assert at_worker(own, "add_file", "f", "a", [1], writeFunc=write_json, readFunc=refuse)
    for method in ("get_file", "pop_file"):
        assert "read function of file 'f' raised ValueError('not today')" in at_worker(own, method, "f").error
    for spec in ({"name": "f", "path": "a"}, {"name": "g", "path": "b"}):
        assert "not today" in at_worker(own, "add_file", **spec, data=1, writeFunc=refuse).error
    assert at_worker(own, "add_file", "other", "a", None, readFunc=read_json)
    assert at_worker(own, "get_file", "other") == [1]
    own.check_alive()


# -- a full disk -----------------------------------------------------------------------------------

ON_A_FULL_DISK = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x00020000):  # a view of the file systems of one's own
    sys.exit(77)
libc.mount(b'none', b'/', None, 0x4000 | 0x40000, None)
full = sys.argv[1]
if libc.mount(b'tmpfs', full.encode(), b'tmpfs', 0, b'size=256k'):
    sys.exit(77)
from softgrid import Globals, Orchestrator
O = Orchestrator(permanentDir=full + '/permanent', temporaryDir=full, logKwargs={'logToStdout': False})
kwargs = {'permanentDir': full + '/permanent', 'temporaryDir': full}
(worker,) = [each['gridUniqueName'] for each in O.launch_worker(O.address, executorKwargs=kwargs)[1]]
def files():
    return sorted(os.path.join(place, name).replace(full, '') for place, _, names in os.walk(full) for name in names)
def at_worker(method, *args, **kwargs):
    call = O.get_transfer_template(lambda executor, *a, **k: getattr(executor, method)(*a, **k), args, kwargs)
    call['first_argument_executor'] = True
    return O.transfer(call, worker, collect=True)[0]
def fill(data, path):
    with open(path, 'wb') as file: file.write(data)
def module(name, size):
    return {'name': name, 'type': 'module', 'files': {name + '.py': b'value = 1 #' + b'x' * size}}
for who, do in enumerate((lambda *a, **k: getattr(O, a[0])(*a[1:], **k), at_worker)):
    for root in ('permanent', 'temporary'):
        name = root + str(who)
        assert do('add_file', 'f', 'a', b'old', root=root)
        before = files()
        for writer in (None, fill):
            status = do('add_file', 'f', 'a', b'x' * 1_000_000, root=root, writeFunc=writer)
            assert 'No space left on device' in status.error, status
            status = do('add_file', 'g', 'b', b'x' * 1_000_000, root=root, writeFunc=writer)
            assert 'No space left on device' in status.error, status
        assert files() == before, files()
        assert do('get_file', 'f') == b'old'
        assert do('pop_file', 'f', delete=True)
        assert do('add_package', module(name, 1), sitePackages=root)
        before = files()
        status = do('add_package', module(name, 1_000_000), sitePackages=root, replace=True)
        assert 'No space left on device' in status.error, status
        assert files() == before, files()
        assert do('add_package', module(name, 2), sitePackages=root, replace=True)
O.disconnect(kill=False)
print(files())
"""


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, traces: Traces) -> None:
    (tmp_path / "full").mkdir()
    run = subprocess.run(
        [sys.executable, "-c", ON_A_FULL_DISK, str(tmp_path / "full")],
        env={**os.environ, "PYTHONPATH": SOURCE, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if run.returncode == 77:
        pytest.skip("this process may not mount a small file system")
    assert run.returncode == 0, run.stdout + run.stderr
    left = ["/permanent/site-packages/permanent0.py", "/permanent/site-packages/permanent1.py"]
    assert run.stdout == f"{left}\n"


def test_a_limit_on_the_size_of_files_leaves_nothing_half_written(own: Grid, permanent: Path) -> None:
    def limited(executor: Any) -> Any:
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            return executor.add_file("f", "a", b"x" * 100_000, root="permanent")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert at_worker(own, "add_file", "f", "a", "old", root="permanent")
    assert "File too large" in own.one(limited, first=True).error
    assert files_below(permanent) == ["a"]
    assert at_worker(own, "get_file", "f") == "old"


# -- homes -----------------------------------------------------------------------------------------


def home_of(path: str) -> str:
    """The home in which a temporary file is."""
    return path.partition("/temporary/")[0] if path.count("/temporary/") == 1 else path.rpartition("/temporary/")[0]


@pytest.mark.parametrize("is_told_where", [False, True])
def test_what_a_killed_executor_leaves_is_removed_while_the_grid_lives(
    make_grid: MakeGrid, tmp_path: Path, is_told_where: bool
) -> None:
    grid = make_grid(managers=1, workers=0)
    (tmp_path / "scratch").mkdir()
    kwargs = {"temporaryDir": str(tmp_path / "scratch") if is_told_where else None}
    grid.workers = grid.launch("Worker", grid.managers[0], 2, executorKwargs=kwargs)
    paths = [status.data for status in grid.call("add_file", "f", "deep/a", "text", to=grid.workers)]
    assert [path.startswith(str(tmp_path / "scratch")) for path in paths] == [is_told_where] * 2
    mine = grid.O.add_file("f", "a", "mine").data
    os.kill(pid_in(grid.workers[0]), signal.SIGKILL)
    wait_until(lambda: not os.path.exists(home_of(paths[0])), what="the home of the dead is gone")
    assert [os.path.exists(path) for path in (paths[1], mine)] == [True, True]
    os.kill(pid_in(grid.managers[0]), signal.SIGKILL)
    wait_until(lambda: not os.path.exists(home_of(paths[1])), what="so are those below")
    assert grid.O.get_file("f") == "mine"
    if is_told_where:
        wait_until(lambda: os.listdir(tmp_path / "scratch") == [], what="nothing is left")


def test_a_home_with_very_much_in_it_does_not_keep_the_supervisor(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0)
    grid.workers = grid.launch("Worker", count=2)

    def fill(executor: Any) -> str:
        import os

        path = os.path.dirname(executor.add_file("f", "a", "text").data)
        for number in range(20_000):
            os.close(os.open(f"{path}/{number}", os.O_CREAT))
        return path

    path = grid.one(fill, first=True)
    os.kill(pid_in(grid.workers[0]), signal.SIGKILL)
    assert grid.launch("Worker")
    wait_until(lambda: not os.path.exists(path))


def test_leaving_removes_the_home_and_keeps_what_is_permanent(own: Grid, permanent: Path) -> None:
    path = own.O.add_file("f", "a", "text").data
    theirs = at_worker(own, "add_file", "f", "a", "text").data
    assert own.O.add_file("p", "kept", "text", root="permanent")
    own.O.disconnect(kill=False)
    assert not os.path.exists(home_of(path))
    assert not os.path.exists(theirs)
    assert files_below(permanent) == ["kept"]


KEEPING = """
O = Orchestrator(temporaryDir=sys.argv[1] if len(sys.argv) > 1 else None)
manager = launch(O, 'Manager')[0]
workers = launch(O, 'Worker', manager, count=2)
O.add_file('f', 'a', 'text')
call(O, lambda executor: executor.add_file('f', 'a', 'text') and None, to=[manager, *workers], first=True)
assert all(call(O, lambda executor: bool(executor.add_file('f', 'a', 'text')), to=workers, first=True))
from softgrid._io.lifeline import children_of
(supervisor,) = children_of(os.getpid())
"""


@pytest.mark.parametrize(
    "ending",
    [
        "",
        "sys.exit(3)",
        "os._exit(3)",
        "O.kill()",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "O.disconnect()",
        "raise KeyboardInterrupt",
        "os.kill(supervisor, signal.SIGKILL); time.sleep(0.2)",
        "os.kill(supervisor, signal.SIGTERM); time.sleep(0.2)",
        "os.kill(supervisor, signal.SIGKILL); [time.sleep(0.01) for _ in range(500) if O.workers]; "
        "assert O.add_file('g', 'b', 'text'); os.kill(os.getpid(), signal.SIGKILL)",
    ],
)
def test_however_a_grid_ends_no_home_is_left(scripts: Scripts, ending: str) -> None:
    """Nothing in the folder for temporary files: this is looked at when the script has ended."""
    running = scripts.start(KEEPING + ending)
    running.end()


@pytest.mark.parametrize("ending", ["", "os._exit(3)", "M.disconnect()", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_an_executor_that_was_made_by_hand_leaves_no_home_either(scripts: Scripts, ending: str) -> None:
    by_hand = """
    from softgrid import Manager
    M = Manager()
    assert M.add_data('d', 1)
    from softgrid._io.lifeline import children_of
    assert children_of(os.getpid()) == set(), 'nobody is started before there is something to look after'
    assert M.add_file('f', 'a', 'text')
    assert M.get_file('f') == 'text'
    """
    scripts.start(textwrap.dedent(by_hand) + ending).end()


def test_a_supervisor_that_dies_takes_the_homes_of_its_executors_with_it(scripts: Scripts) -> None:
    said = scripts.run(
        KEEPING
        + textwrap.dedent("""
        home = O._node.home.path
        assert len(os.listdir(home)) == 2
        os.kill(supervisor, signal.SIGKILL)
        deadline = time.monotonic() + 15
        while os.listdir(home) != ['temporary'] and time.monotonic() < deadline: time.sleep(0.01)
        say('left', os.listdir(home), O.get_file('f'))
        """)
    )
    assert "left ['temporary'] text" in said


def test_a_fork_of_user_code_leaves_the_home_alone(own: Grid) -> None:
    def fork(executor: Any) -> Any:
        import os

        path = executor.add_file("f", "a", "text").data
        if os.fork() == 0:
            executor.disconnect(kill=False)
            os._exit(0)
        os.wait()
        return os.path.exists(path)

    assert own.one(fork, first=True) is True


def test_folders_that_cannot_be_are_told(make_grid: MakeGrid, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    grid = make_grid(
        workers=0, temporaryDir=str(tmp_path / "file" / "below"), permanentDir=str(tmp_path / "file" / "below")
    )
    for root in ("temporary", "permanent"):
        status = grid.O.add_file("f", "a", "text", root=root)
        assert str(tmp_path / "file") in status.error
        package = {"name": "sgkept", "type": "module", "files": {"sgkept.py": b""}}
        assert str(tmp_path / "file") in grid.O.add_package(package, sitePackages=root).error
    for parameter, value in (("temporaryDir", 5), ("permanentDir", ""), ("ddfsDir", "a\0b")):
        statuses, _, failed = grid.O.launch_worker(grid.O.address, executorKwargs={parameter: value})
        assert len(failed) == 1
        assert parameter in statuses[0].error
