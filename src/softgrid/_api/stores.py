"""What an executor keeps under names, and what it makes importable: the methods of GridBase for that.

They are a subject of their own and stand here; `grid_base` makes them methods. Each asks the executor's Stores and
gives what is there, or a status.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from softgrid._api.boundary import or_status, status_of
from softgrid._model.errors import SoftgridError
from softgrid._model.status import SoftgridStatus

if TYPE_CHECKING:
    from softgrid._api.grid_base import GridBase
    from softgrid._store.files import PoppedFile


# -- objects: revived from bytes ----------------------------------------------------------------------------------


def add_object(self: GridBase, name: str, obj: dict[str, Any] | bytes | str, replace: bool = True) -> SoftgridStatus:
    """Revive an object that was serialised, and keep it under a name.

    Parameters
      1. name (str): name of the object
      2. obj (bytes, dict): what ``pickle.dumps`` or ``dill.dumps`` gave, or a dictionary with that as 'object' and the
         name of the module that revives it, 'cPickle', 'pickle' or 'dill', as 'loads'. (``add_data`` keeps anything as
         it is.)
      3. replace (bool): whether an object of that name may be replaced

    Returns
      1. status (Collections.SoftgridStatus): success; or failure with the reason: the name is taken, *obj* is no such
         thing, or it cannot be revived here. What was kept before is kept then.

    Blocks while the object is revived.

    >>> import pickle
    >>> print(orchestrator.add_object('limits', pickle.dumps({'low': 1})))
    limits: succeeded: object is kept
    >>> orchestrator.get_object('limits')
    {'low': 1}
    """
    return _status_after(name, "object is kept", lambda: self._node.stores.add_object(name, obj, replace=replace))


@or_status
def get_object(self: GridBase, name: str, default: Any = None, serialize: bool = False, mustExist: bool = True) -> Any:
    """Give the object of a name.

    Parameters
      1. name (str): name of the object
      2. default (object): what is returned when there is none and none must exist
      3. serialize (bool): whether to give it serialised: as a dictionary that ``add_object`` takes on any executor
      4. mustExist (bool): whether it is a failure when there is none

    Returns
      1. object (object, Collections.SoftgridStatus): the object itself, not a copy; a failed status when there is none
         and one must exist, or when it is to be serialised and cannot be

    Does not block, but for the time of serialising.

    >>> orchestrator.get_object('nothing', default=0, mustExist=False)
    0
    >>> orchestrator.get_object('nothing').successful
    False
    """
    form = "serialized" if serialize else "as is"
    return self._node.stores.give("object", name, default, must_exist=mustExist, form=form)


@or_status
def pop_object(self: GridBase, name: str, default: Any = None, serialize: bool = False, mustExist: bool = False) -> Any:
    """Give the object of a name and forget it.

    Parameters and result are those of ``get_object``, but that by default none must exist. An object that is to be
    serialised and cannot be is not forgotten.

    >>> import pickle
    >>> orchestrator.add_object('once', pickle.dumps([1, 2])).successful
    True
    >>> orchestrator.pop_object('once'), orchestrator.pop_object('once')
    ([1, 2], None)
    """
    form = "serialized" if serialize else "as is"
    return self._node.stores.give("object", name, default, must_exist=mustExist, pops=True, form=form)


# -- data: anything as it is --------------------------------------------------------------------------------------


def add_data(self: GridBase, name: str, data: Any, replace: bool = True) -> SoftgridStatus:
    """Keep data under a name.

    Parameters
      1. name (str): name of the data
      2. data (object): anything; it is kept itself, not a copy
      3. replace (bool): whether data of that name may be replaced

    Returns
      1. status (Collections.SoftgridStatus): success; or failure, because the name is taken

    Does not block.

    >>> orchestrator.add_data('primes', [2, 3, 5]).successful
    True
    >>> print(orchestrator.add_data('primes', [], replace=False))
    primes: failed: name: got 'primes', accepted is a name that no data has, or replace=True
    """
    return _status_after(name, "data is kept", lambda: self._node.stores.data.add(name, data, replace=replace))


@or_status
def get_data(self: GridBase, name: str, default: Any = None, mustExist: bool = True) -> Any:
    """Give the data of a name.

    Parameters
      1. name (str): name of the data
      2. default (object): what is returned when there is none and none must exist
      3. mustExist (bool): whether it is a failure when there is none

    Returns
      1. data (object, Collections.SoftgridStatus): the data itself, not a copy; a failed status when there is none and
         some must exist

    Does not block.

    >>> orchestrator.add_data('primes', [2, 3, 5]).successful
    True
    >>> orchestrator.get_data('primes')
    [2, 3, 5]
    """
    return self._node.stores.give("data", name, default, must_exist=mustExist)


@or_status
def pop_data(self: GridBase, name: str, default: Any = None, mustExist: bool = False) -> Any:
    """Give the data of a name and forget it.

    Parameters and result are those of ``get_data``, but that by default none must exist.

    >>> orchestrator.add_data('once', 7).successful
    True
    >>> orchestrator.pop_data('once'), orchestrator.pop_data('once', default='gone')
    (7, 'gone')
    """
    return self._node.stores.give("data", name, default, must_exist=mustExist, pops=True)


# -- files: on disk, by functions of the user ---------------------------------------------------------------------


def add_file(
    self: GridBase,
    name: str,
    path: str,
    data: Any,
    root: str | None = "temporary",
    writeFunc: Callable[..., Any] | str | dict[str, Any] | None = None,
    wargs: list[Any] | tuple[Any, ...] | None = None,
    wkwargs: dict[str, Any] | None = None,
    readFunc: Callable[..., Any] | str | dict[str, Any] | None = None,
    replace: bool = True,
) -> SoftgridStatus:
    """Write a file on this machine's disk, and keep its name with the way to read it.

    Parameters
      1. name (str): name of the file
      2. path (str): where it is to be, relative to *root*; without a root absolute
      3. data (object): what is written: text (as UTF-8) or bytes, or whatever *writeFunc* can write; None: nothing,
         the file must exist already and only gets the name, which is how several executors of a machine share one
      4. root (None, str): 'temporary', a folder of this executor's own that goes with it; 'permanent', a folder that
         stays (parameter permanentDir of the executor); None or '': none
      5. writeFunc (None, callable, str, dict): what writes, called as ``writeFunc(data, path, *wargs, **wkwargs)`` with
         a path of the same last component in a folder where nothing else is; given as callable, as source text, as
         source text in a dictionary (``{'source': text}``), as the name of a stored function (``add_udf``), or
         serialised as ``add_object`` takes it
      6. wargs (None, list), wkwargs (None, dict): its further arguments
      7. readFunc (None, callable, str, dict): what reads, called as ``readFunc(path, ...)``; None: the file is read as
         what was written, text or bytes
      8. replace (bool): whether a file of that name or at that path may be replaced; a replaced file loses all other
         names that it had

    Returns
      1. status (Collections.SoftgridStatus): success, with the absolute path as data; or failure with the reason, and
         neither files nor names have changed then

    The file appears whole or not at all, readable by its owner only (mode 0600); below a root, no path and no symbolic
    link leads out of it. Blocks until the file is on disk.

    >>> import json
    >>> def dump(data, path):
    ...     with open(path, 'w') as file:
    ...         json.dump(data, file)
    >>> def load(path):
    ...     with open(path) as file:
    ...         return json.load(file)
    >>> status = orchestrator.add_file('settings', 'app/settings.json', {'depth': 3}, writeFunc=dump, readFunc=load)
    >>> orchestrator.get_file('settings')
    {'depth': 3}
    """

    def add() -> str:
        return self._node.stores.add_file(
            name,
            path,
            data,
            root=root,
            writer=writeFunc,
            args=wargs,
            kwargs=wkwargs,
            reader=readFunc,
            replace=replace,
        )

    return _status_after(name, "file is written", add)


@or_status
def get_file(
    self: GridBase,
    name: str,
    rargs: list[Any] | tuple[Any, ...] | None = None,
    rkwargs: dict[str, Any] | None = None,
    default: Any = None,
    mustExist: bool = True,
) -> Any:
    """Read the file of a name.

    Parameters
      1. name (str): name of the file
      2. rargs (None, list), rkwargs (None, dict): further arguments of its read function
      3. default (object): what is returned when there is no such name or file and none must exist
      4. mustExist (bool): whether that is a failure

    Returns
      1. data (object, Collections.SoftgridStatus): what the read function makes of it; without one the text or bytes
         that were written; a failed status when it is not there and must be, or reading fails

    Blocks while it is read.

    >>> orchestrator.add_file('note', 'notes/today', 'rain').successful
    True
    >>> orchestrator.get_file('note')
    'rain'
    """
    return self._node.stores.get_file(name, default, rargs, rkwargs, must_exist=mustExist)


@or_status
def pop_file(
    self: GridBase,
    name: str,
    rargs: list[Any] | tuple[Any, ...] | None = None,
    rkwargs: dict[str, Any] | None = None,
    default: Any = None,
    mustExist: bool = True,
    delete: bool = False,
) -> Any:
    """Read the file of a name and forget the name.

    Parameters are those of ``get_file``, and
      1. delete (bool): whether to delete the file too, and with it all other names that it has

    Returns
      1. fileParams (dict, Collections.SoftgridStatus): the parameters of the file as ``add_file`` takes them, with what
         was read as 'data'; the default or a failed status as for ``get_file``; the name stays when reading or deleting
         fails

    Blocks while it is read.

    >>> orchestrator.add_file('note', 'notes/today', 'rain').successful
    True
    >>> params = orchestrator.pop_file('note', delete=True)
    >>> params['data'], params['path'], params['root']
    ('rain', 'notes/today', 'temporary')
    >>> orchestrator.add_file(**params).successful
    True
    """
    popped = self._node.stores.pop_file(name, rargs, rkwargs, must_exist=mustExist, delete=delete)
    return default if popped is None else _parameters(popped)


# -- functions: stored, and called by name ------------------------------------------------------------------------


def add_udf(
    self: GridBase, name: str, func: Callable[..., Any] | str, firstArgExecutor: bool, replace: bool = True
) -> SoftgridStatus:
    """Store a function, so that calls can name it.

    Parameters
      1. name (str): name of the function; no method of executors is hidden by it
      2. func (callable, str): the function, or source text that defines one of that name (or is a lambda expression)
      3. firstArgExecutor (bool): whether calls by name get the executor that runs them as first argument
      4. replace (bool): whether a function of that name may be replaced

    Returns
      1. status (Collections.SoftgridStatus): success; or failure with the reason: the name is taken, or *func* is no
         function

    Blocks while source text is compiled and run.

    >>> orchestrator.add_udf('double', 'def double(x): return 2 * x', False).successful
    True
    >>> orchestrator.get_udf('double')(21)
    42
    """

    def add() -> None:
        self._node.stores.add_function(name, func, wants_executor=firstArgExecutor, replace=replace)

    return _status_after(name, "function is stored", add)


@or_status
def get_udf(self: GridBase, name: str, default: Any = None, mustExist: bool = True) -> Any:
    """Give the stored function of a name.

    Parameters
      1. name (str): name of the function
      2. default (object): what is returned when there is none and none must exist
      3. mustExist (bool): whether it is a failure when there is none

    Returns
      1. function (callable, Collections.SoftgridStatus): the function; a failed status when there is none and one must
         exist

    Does not block.

    >>> orchestrator.get_udf('nothing', default=len, mustExist=False) is len
    True
    """
    return self._node.stores.give("function", name, default, must_exist=mustExist)


@or_status
def pop_udf(self: GridBase, name: str, default: Any = None, mustExist: bool = False) -> Any:
    """Give the stored function of a name and forget it: calls by that name are refused from then on.

    Parameters and result are those of ``get_udf``, but that by default none must exist.

    >>> orchestrator.add_udf('half', lambda x: x / 2, False).successful
    True
    >>> orchestrator.pop_udf('half')(3), orchestrator.pop_udf('half')
    (1.5, None)
    """
    return self._node.stores.give("function", name, default, must_exist=mustExist, pops=True)


# -- packages: importable at once ---------------------------------------------------------------------------------


def add_package(
    self: GridBase,
    packageDict: dict[str, Any],
    relativeRoot: str = "",
    description: str | None = "",
    sitePackages: str = "temporary",
    replace: bool = False,
) -> SoftgridStatus:
    """Make a package or module importable in this executor's process, at once.

    Parameters
      1. packageDict (dict): the package as ``softgrid.Collections.read_files`` makes it
      2. relativeRoot (str): the package below which it is to be, 'outer' or 'outer/inner'; '': none
      3. description (None, str): what the status is called
      4. sitePackages (str): where it is kept: 'temporary', a folder that goes with the executor; 'permanent', one that
         stays and from which executors of later days import too; 'user', the user's own site-packages; 'memory', no
         folder at all
      5. replace (bool): whether a package or module of that name may be replaced. What was imported from the old one
         lives on where it is used; the next import finds the new one.

    Returns
      1. status (Collections.SoftgridStatus): success, with the dotted name to import as data; or failure with the
         reason: it is there already, its name hides a module of Python or cannot be imported, a path in it leads out of
         it, the disk is full. Then files and modules are as before.

    What was added last is found first. Nothing is imported or run. Blocks until it is written.

    >>> status = orchestrator.add_package({'name': 'answers', 'type': 'module', 'files': {'answers.py': b'best = 42'}})
    >>> import answers
    >>> answers.best
    42
    """

    def add() -> str:
        added = self._node.stores.add_package(
            packageDict, relative_root=relativeRoot, site=sitePackages, replace=replace
        )
        return added.name

    return _status_after(description or None, "package can be imported", add)


def _parameters(popped: PoppedFile) -> dict[str, Any]:
    file = popped.file
    return {
        "name": file.name,
        "path": file.path,
        "data": popped.content,
        "root": file.root,
        "writeFunc": file.writer,
        "wargs": file.writer_args,
        "wkwargs": file.writer_kwargs,
        "readFunc": file.reader,
    }


def _status_after(name: object, message: str, work: Callable[[], Any]) -> SoftgridStatus:
    """Do something for what is called *name*, and give the status of that; what *work* gives is the status's data."""
    shown = name if isinstance(name, str) else None
    try:
        data = work()
    except SoftgridError as error:
        return status_of(error, name=shown)
    return SoftgridStatus(True, message=message, data=data, name=shown)
