"""The bundle: softgrid as one string of bytes, which a Python with nothing installed can import."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import softgrid
from softgrid._launch import bundle as bundle_module
from softgrid._launch.bundle import LIMIT, METADATA, boot, carried_importer, make_bundle, without_words

FILES: dict[str, str] = json.loads(zlib.decompress(make_bundle()))
FOLDER = Path(softgrid.__file__).parent


def run_bare(program: str, bundle: bytes, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a Python that has neither site packages nor an environment, in an empty folder."""
    (folder / "bundle").write_bytes(bundle)
    return subprocess.run(
        [sys.executable, "-I", "-S", *options, "-c", program],
        cwd=folder,
        env={"HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


BOOT = boot("open('bundle', 'rb').read()")


def said_by(program: str, folder: Path, *options: str) -> str:
    run = run_bare(BOOT + program, make_bundle(), folder, *options)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return run.stdout


def test_it_holds_every_module_that_an_executor_may_need_and_no_other() -> None:
    own = {
        "softgrid/" + path.relative_to(FOLDER).as_posix()
        for path in FOLDER.rglob("*.py")
        if path.relative_to(FOLDER).parts[0] not in {"_cli", "_web", "__main__.py"}
    }
    theirs = {path for path in FILES if path.partition("/")[0] in ("cloudpickle", "pysimplelog")}
    assert own | theirs | {METADATA} == set(FILES)
    assert {"cloudpickle/__init__.py", "cloudpickle/cloudpickle.py", "pysimplelog/SimpleLog.py"} <= theirs


class Wordless(ast.NodeTransformer):
    """Empties what is said and not done."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            node.value.value = ""
        return node


@pytest.mark.parametrize("path", sorted(path for path in FILES if path.startswith("softgrid/") and path != METADATA))
def test_its_modules_do_what_ours_do_on_the_same_lines_without_a_word(path: str) -> None:
    ours = (FOLDER.parent / path).read_text("utf-8")
    theirs = FILES[path]
    assert theirs.count("\n") == ours.count("\n")
    for kept, line in zip(theirs.split("\n"), ours.split("\n"), strict=True):
        assert kept in ("", line) or kept.strip() == '""'
    dumps = [ast.dump(Wordless().visit(ast.parse(text))) for text in (ours, theirs)]
    assert dumps[0] == dumps[1]
    places = [[node.lineno for node in ast.walk(ast.parse(text)) if hasattr(node, "lineno")] for text in (ours, theirs)]
    assert places[0] == places[1]


def test_texts_that_are_no_docstrings_are_kept() -> None:
    source = 'TEXT = """\\\n# not a comment\n"""\ndef f():\n    """Say it."""\n    # why\n    return """a"""\n'
    wordless = 'TEXT = """\\\n# not a comment\n"""\ndef f():\n    ""\n\n    return """a"""\n'
    assert without_words(source) == wordless


def test_it_is_small() -> None:
    assert len(make_bundle()) <= LIMIT


def test_the_same_files_give_the_same_bytes() -> None:
    program = "import sys; from softgrid._launch.bundle import make_bundle; sys.stdout.buffer.write(make_bundle())"
    again = subprocess.run(
        [sys.executable, "-c", "import softgrid;" + program],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert again.stdout == make_bundle()


def test_a_bare_python_imports_all_of_it_from_memory(tmp_path: Path) -> None:
    modules = [path[: -len(".py")].removesuffix("/__init__").replace("/", ".") for path in FILES if path != METADATA]
    program = (
        "import importlib, warnings\n"
        "warnings.simplefilter('ignore', SyntaxWarning)\n"
        f"for name in {modules}: importlib.import_module(name)\n"
        "print(sorted({name.partition('.')[0] for name, module in sys.modules.items()"
        " if type(getattr(module, '__loader__', None)).__name__ == 'BundleImporter'}))\n"
        "print([path for path in sys.path if 'site-packages' in path])"
    )
    assert said_by(program, tmp_path) == "['cloudpickle', 'pysimplelog', 'softgrid']\n[]\n"
    assert os.listdir(tmp_path) == ["bundle"]


def test_what_came_as_a_bundle_goes_on_as_the_same_bundle(tmp_path: Path) -> None:
    program = (
        "import softgrid\n"
        "from softgrid._launch.bundle import make_bundle, carried_importer\n"
        "print(make_bundle() is b, carried_importer() is sys.meta_path[0])"
    )
    assert said_by(program, tmp_path) == "True True\n"
    assert carried_importer() is None


def test_the_version_comes_along(tmp_path: Path) -> None:
    program = "import softgrid; print(softgrid.get_version(), softgrid.get_pypi())"
    assert said_by(program, tmp_path) == f"{softgrid.get_version()} {softgrid.get_pypi()}\n"


def test_it_comes_before_what_is_installed(tmp_path: Path) -> None:
    (tmp_path / "softgrid").mkdir()
    (tmp_path / "softgrid" / "__init__.py").write_text("raise SystemExit('the other one')")
    program = "sys.path.insert(0, '.'); import softgrid; print('this one')"
    assert said_by(program, tmp_path) == "this one\n"


def test_a_traceback_quotes_the_source(tmp_path: Path) -> None:
    program = (
        "import softgrid, traceback\ntry: softgrid.Worker(port='x')\nexcept ValueError: print(traceback.format_exc())\n"
    )
    said = said_by(program, tmp_path)
    assert 'File "softgrid-bundle/softgrid/_io/ports.py"' in said
    assert 'raise BadArgument("port", port' in said


def test_what_is_not_in_it_is_an_ordinary_import_error(tmp_path: Path) -> None:
    program = (
        "import softgrid\n"
        "for load in (lambda: __import__('softgrid._no'), lambda: __import__('no_such_module')):\n"
        "    try: load()\n"
        "    except ModuleNotFoundError as error: print(error)\n"
        "try: softgrid.__loader__.get_source('softgrid._no')\n"
        "except ImportError as error: print(error)\n"
        "try: softgrid.__loader__.get_data('softgrid/no')\n"
        "except FileNotFoundError as error: print(error)\n"
    )
    assert said_by(program, tmp_path).splitlines() == [
        "No module named 'softgrid._no'",
        "No module named 'no_such_module'",
        "there is no module softgrid._no in the bundle",
        "there is no softgrid/no in the bundle",
    ]


def test_it_can_be_run_and_inspected_like_installed_modules(tmp_path: Path) -> None:
    program = (
        "import softgrid, inspect\n"
        "print(softgrid.__loader__.is_package('softgrid'), softgrid.__loader__.is_package('softgrid.Core'))\n"
        "print(inspect.getsource(softgrid.Worker.isWorker.fget).strip().splitlines()[-1])\n"
    )
    assert said_by(program, tmp_path).splitlines() == ["True False", "        return True"]


def test_the_boot_text_can_be_typed_at_a_prompt() -> None:
    lines = BOOT.splitlines()
    assert all(line and not line.startswith(" ") and not line.endswith(":") for line in lines)
    assert not any(line.startswith(("if ", "for ", "def ", "try")) for line in lines)


def test_an_old_python_is_told_what_is_needed(tmp_path: Path) -> None:
    ast.parse(BOOT, feature_version=(3, 4))
    run = run_bare("import sys; sys.version_info = (3, 9, 18)\n" + BOOT, make_bundle(), tmp_path)
    assert run.returncode == 1
    assert run.stderr.startswith("softgrid needs Python 3.10 or newer, this is ")


def test_without_an_installed_package_the_bundle_has_no_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    def not_found(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", not_found)
    assert bundle_module._metadata() == ""
