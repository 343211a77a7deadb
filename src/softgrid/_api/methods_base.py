"""MethodsBase: find executors, and keep things with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from softgrid._api.boundary import or_status
from softgrid._api.elsewhere import call_elsewhere, fetch
from softgrid._api.requester_responder_base import RequesterResponderBase
from softgrid._model.errors import BadArgument, SoftgridError
from softgrid._model.names import parse_name
from softgrid._util.sources import Names, Sources, read_files


class MethodsBase(RequesterResponderBase):
    """Methods that concern other executors. Cannot be made itself.

    All ``transfer_...`` methods take receivers as ``transfer`` does: 'upgrid', 'routers', 'managers', 'workers', a grid
    unique name, or a list of these. They give one result where the receivers are a single grid unique name or 'upgrid',
    else a list of results in the order of the receivers. In the place of the result of a receiver that died, did not
    answer in time or could not do it stands a failed status (Collections.SoftgridStatus) that says why; such a status
    alone says that nothing was sent at all. Each receiver does what one executor asks of it in the order in which it
    was asked, beside what its queue is running.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    @or_status
    def get_executor_grid_path(self, gridUniqueName: str, transferTimeout: float = 10, multiplier: float = 3) -> Any:
        """Find the way to an executor, asking up the grid where it is not known here.

        Parameters
          1. gridUniqueName (str): the executor to find
          2. transferTimeout (number), multiplier (number): see ``get_transfer_wait_timeout``

        Returns
          1. result (dict): the name of the executor that knew it, with the list of names from the orchestrator to the
             executor sought; empty when nobody of that name is on the grid

        Blocks until it is found or nobody knows it.
        """
        name = str(parse_name(gridUniqueName))
        timeout = self.get_transfer_wait_timeout(transferTimeout, multiplier)
        found = self._node.locate(name, timeout)
        return {found["located_by"]: found["path"]} if found["located_by"] else {}

    # -- objects ----------------------------------------------------------------------------------------------------

    @or_status
    def transfer_add_object(
        self,
        name: str,
        obj: Any,
        receivers: Any,
        bounce: Any = None,
        timeout: float | None = 10,
        dumps: str | None = None,
        replace: bool = True,
    ) -> Any:
        """Serialise an object once, and have other executors revive and keep it: ``add_object`` there.

        Parameters
          1. name (str): name of the object
          2. obj (object): the object itself
          3. receivers (str, list): see the class
          4. bounce (None, list): one item for each receiver: None, or a name or list of names to which it passes the
             object on instead of keeping it; the results are then those of the ones that keep it, in a list
          5. timeout (None, number): seconds to wait for the statuses; None: do not wait, and return None
          6. dumps (None, str): what serialises: 'pickle' (or 'cPickle'), 'dill' (the extra ``softgrid[dill]``, on both
             sides), or None: pickle if it can, else dill. With None classes and functions of the script go along whole;
             with 'pickle' they go by name, and the receiver must be able to import them
          7. replace (bool): whether an object of that name may be replaced there

        Returns
          1. status (Collections.SoftgridStatus, list): that of each receiver

        Blocks until all receivers have answered, died, or the timeout has passed.

        >>> class Model:
        ...     def __init__(self, slope):
        ...         self.slope = slope
        >>> worker = orchestrator.workers[0]
        >>> print(orchestrator.transfer_add_object('model', Model(3), worker))
        model: succeeded: object is kept
        >>> orchestrator.transfer_get_object('model', worker).slope
        3
        """
        from softgrid._store.objects import serialize

        return self._keep("_keep_object", (name, serialize(obj, dumps), replace), receivers, timeout, bounce)

    @or_status
    def transfer_get_object(
        self, name: str, receivers: Any, timeout: float | None = 10, default: Any = None, mustExist: bool = True
    ) -> Any:
        """Fetch copies of the objects that other executors keep under a name.

        Parameters
          1. name (str): name of the object
          2. receivers (str, list): see the class
          3. timeout (None, number): seconds to wait; None: without limit
          4. default (object): what stands in the place of an object that is not there and need not be
          5. mustExist (bool): whether it is a failure when there is none

        Returns
          1. data (object, list): the object of each receiver

        Blocks until all receivers have answered, died, or the timeout has passed.

        >>> orchestrator.transfer_get_object('nothing', 'workers', default='none', mustExist=False)
        ['none']
        """
        return fetch(self._node, "object", name, receivers, timeout, default, must_exist=mustExist)

    @or_status
    def transfer_pop_object(
        self, name: str, receivers: Any, timeout: float | None = 10, default: Any = None, mustExist: bool = False
    ) -> Any:
        """Fetch the objects that other executors keep under a name, and have them forgotten there.

        Parameters are those of ``transfer_get_object``, but that by default none must exist, and that with the timeout
        None they are forgotten without being fetched or waited for, and None is returned.

        Returns
          1. object (object, list): the object of each receiver. One that cannot be serialised is not forgotten; one
             that comes only when the timeout has passed is lost

        Blocks until all receivers have answered, died, or the timeout has passed.

        >>> worker = orchestrator.workers[0]
        >>> status = orchestrator.transfer_add_object('once', {1, 2}, worker)
        >>> orchestrator.transfer_pop_object('once', worker), orchestrator.transfer_pop_object('once', worker)
        ({1, 2}, None)
        """
        return fetch(self._node, "object", name, receivers, timeout, default, must_exist=mustExist, pops=True)

    # -- data -------------------------------------------------------------------------------------------------------

    @or_status
    def transfer_add_data(
        self,
        name: str,
        data: Any,
        receivers: Any,
        bounce: Any = None,
        timeout: float | None = 10,
        replace: bool = True,
    ) -> Any:
        """Have other executors keep data: ``add_data`` there.

        The data is serialised once however many receivers there are, and on one machine the large arrays in it are
        written to shared memory once, where each receiver has them writable as its own.

        Parameters
          1. name (str): name of the data
          2. data (object): anything that a call could have as an argument
          3. receivers (str, list): see the class
          4. bounce (None, list): as for ``transfer_add_object``
          5. timeout (None, number): as for ``transfer_add_object``
          6. replace (bool): whether data of that name may be replaced there

        Returns
          1. status (Collections.SoftgridStatus, list): that of each receiver

        Blocks until all receivers have answered, died, or the timeout has passed.

        >>> [status.successful for status in orchestrator.transfer_add_data('primes', [2, 3, 5], 'workers')]
        [True]
        >>> call = orchestrator.get_transfer_template(lambda executor: sum(executor.get_data('primes')))
        >>> call['first_argument_executor'] = True
        >>> orchestrator.transfer(call, 'workers', collect=True)
        [10]
        """
        return self._keep("add_data", (name, data, replace), receivers, timeout, bounce)

    @or_status
    def transfer_get_data(
        self, name: str, receivers: Any, timeout: float | None = 10, default: Any = None, mustExist: bool = True
    ) -> Any:
        """Fetch copies of the data that other executors keep under a name.

        Parameters are those of ``transfer_get_object``.

        Returns
          1. data (object, list): the data of each receiver

        Blocks until all receivers have answered, died, or the timeout has passed.

        >>> worker = orchestrator.workers[0]
        >>> status = orchestrator.transfer_add_data('primes', [2, 3, 5], worker)
        >>> orchestrator.transfer_get_data('primes', worker)
        [2, 3, 5]
        """
        return fetch(self._node, "data", name, receivers, timeout, default, must_exist=mustExist)

    @or_status
    def transfer_pop_data(
        self, name: str, receivers: Any, default: Any = None, timeout: float | None = 10, mustExist: bool = False
    ) -> Any:
        """Fetch the data that other executors keep under a name, and have it forgotten there.

        Parameters and result are those of ``transfer_pop_object``; mind that here *default* comes before *timeout*.

        >>> worker = orchestrator.workers[0]
        >>> status = orchestrator.transfer_add_data('once', 7, worker)
        >>> orchestrator.transfer_pop_data('once', worker), orchestrator.transfer_pop_data('once', worker, 'gone')
        (7, 'gone')
        """
        return fetch(self._node, "data", name, receivers, timeout, default, must_exist=mustExist, pops=True)

    # -- functions --------------------------------------------------------------------------------------------------

    @or_status
    def transfer_add_udf(
        self,
        name: str,
        func: Callable[..., Any] | str,
        firstArgExecutor: bool,
        receivers: Any,
        timeout: float | None = 10,
        replace: bool = True,
    ) -> Any:
        """Have other executors store a function, so that calls to them can name it: ``add_udf`` there.

        Parameters
          1. name (str): name of the function
          2. func (callable, str): the function, or source text that defines one of that name (or is a lambda
             expression), which executors of every version of Python can read
          3. firstArgExecutor (bool): whether calls by name get the executor that runs them as first argument
          4. receivers (str, list): see the class
          5. timeout (None, number): as for ``transfer_add_object``
          6. replace (bool): whether a function of that name may be replaced there

        Returns
          1. status (Collections.SoftgridStatus, list): that of each receiver

        Blocks until all receivers have answered, died, or the timeout has passed.

        >>> def who(executor, word):
        ...     return word, executor.role
        >>> statuses = orchestrator.transfer_add_udf('who', who, True, 'workers')
        >>> orchestrator.transfer(orchestrator.get_transfer_template('who', args=('a',)), 'workers', collect=True)
        [('a', 'worker')]
        """
        from softgrid._store.callables import source_of, to_travel

        travelling = to_travel(func, source_of(func))
        return self._keep("_keep_udf", (name, travelling, firstArgExecutor, replace), receivers, timeout)

    @or_status
    def transfer_get_udf(
        self, name: str, receivers: Any, default: Any = None, timeout: float | None = 10, mustExist: bool = True
    ) -> Any:
        """Fetch the functions that other executors have stored under a name.

        Parameters are those of ``transfer_get_object``; mind that here *default* comes before *timeout*.

        Returns
          1. function (callable, list): the function of each receiver; a failed status in its place also where it is
             byte code of another version of Python

        Blocks until all receivers have answered, died, or the timeout has passed.

        >>> worker = orchestrator.workers[0]
        >>> status = orchestrator.transfer_add_udf('triple', 'def triple(x): return 3 * x', False, worker)
        >>> orchestrator.transfer_get_udf('triple', worker)(5)
        15
        """
        return fetch(self._node, "function", name, receivers, timeout, default, must_exist=mustExist)

    @or_status
    def transfer_pop_udf(
        self, name: str, receivers: Any, default: Any = None, timeout: float | None = 10, mustExist: bool = False
    ) -> Any:
        """Fetch the functions that other executors have stored under a name, and have them forgotten there.

        Parameters and result are those of ``transfer_pop_data``.

        >>> worker = orchestrator.workers[0]
        >>> status = orchestrator.transfer_add_udf('once', abs, False, worker)
        >>> orchestrator.transfer_pop_udf('once', worker)(-1), orchestrator.transfer_pop_udf('once', worker)
        (1, None)
        """
        return fetch(self._node, "function", name, receivers, timeout, default, must_exist=mustExist, pops=True)

    # -- packages ---------------------------------------------------------------------------------------------------

    @or_status
    def transfer_add_package(
        self,
        path: str,
        receivers: Any,
        timeout: float | None = 10,
        sitePackages: str = "temporary",
        replace: bool = False,
        rejectFiles: Names = (r"^.*?.(so|pyd|pyc)$", r"^(?![a-zA-Z_]).*$"),
        acceptFiles: Names = (r"^[a-zA-Z_]{1,}[a-zA-Z0-9_]{0,}.(py|pyx|h|c|cc|cxx|c\+\+|hh|H|hxx|hpp|h\+\+)$",),
        rejectFolders: Names = (r"^\..*?$", r"^__pycache__$", r"^docs$", r"^Examples$"),
        acceptFolders: Names = (r"^[a-zA-Z_]{1,}[a-zA-Z0-9_]{0,}$",),
        dataFiles: Names | None = None,
    ) -> Any:
        r"""Read a package or module from this machine's disk, and make it importable on other executors.

        Parameters
          1. path (str): the package's folder or the module's file
          2. receivers (str, list): see the class
          3. timeout (None, number): as for ``transfer_add_object``
          4. sitePackages (str): 'temporary', 'permanent', 'user' or 'memory', see ``add_package``
          5. replace (bool): whether a package or module of that name may be replaced there
          6. rejectFiles, acceptFiles (list, tuple, set): regular expressions for names of files; one that matches any
             of the first stays here, and so does one that matches none of the second; an empty list keeps nothing
             here. By default compiled files stay here and source text goes
          7. rejectFolders, acceptFolders (list, tuple, set): the same for names of folders, with all that is in them
          8. dataFiles (None, list, tuple): paths relative to *path* that go along whatever the patterns say

        Returns
          1. status (Collections.SoftgridStatus, list): that of each receiver; one failed status alone when the package
             cannot be read: *path* is not there, a pattern is no regular expression, a link leads out of the package

        Blocks until all receivers have answered, died, or the timeout has passed.

        >>> with open('shapes.py', 'w') as file:
        ...     chars = file.write('def area(side): return side ** 2')
        >>> [status.successful for status in orchestrator.transfer_add_package('shapes.py', 'workers')]
        [True]
        >>> def area_of(side):
        ...     import shapes
        ...     return shapes.area(side)
        >>> orchestrator.transfer(orchestrator.get_transfer_template(area_of, (3,)), 'workers', collect=True)
        [9]
        """
        from softgrid._store.manifest import Shipped

        shipped = Shipped(
            _read(
                path,
                reject_files=rejectFiles,
                accept_files=acceptFiles,
                reject_folders=rejectFolders,
                accept_folders=acceptFolders,
                data_files=dataFiles,
            )
        )
        return self._keep("_keep_package", (shipped, sitePackages, replace), receivers, timeout)

    def _keep(self, method: str, args: tuple[Any, ...], receivers: Any, timeout: Any, bounce: Any = None) -> Any:
        return call_elsewhere(self._node, method, args, receivers, timeout, bounce=bounce, waits=timeout is not None)

    # -- what the others are asked by name --------------------------------------------------------------------------
    #
    # What has code run here comes in classes that only executors send each other. Who is not trusted is believed plain
    # types only, and cannot send one; the public methods take plain types too, and so are open to others only where
    # functions of users may run.

    @or_status
    def _keep_object(self, name: str, serialized: Any, replace: bool) -> Any:
        from softgrid._store.objects import Serialized

        return self.add_object(name, _checked(serialized, Serialized), replace)

    @or_status
    def _keep_udf(self, name: str, travelling: Any, firstArgExecutor: bool, replace: bool) -> Any:
        from softgrid._wire.functions import FunctionSource, PickledFunction

        return self.add_udf(name, _checked(travelling, FunctionSource, PickledFunction), firstArgExecutor, replace)

    @or_status
    def _keep_package(self, shipped: Any, sitePackages: str, replace: bool) -> Any:
        from softgrid._store.manifest import Shipped

        package = _checked(shipped, Shipped).sources
        return self.add_package(package, "", package["name"], sitePackages, replace)

    @or_status
    def _hand_over(self, kind: str, name: str, must_exist: bool, pops: bool, is_wanted: bool) -> Any:
        form = "travelling" if is_wanted else "as is"
        given = self._node.stores.give(kind, name, must_exist=must_exist, pops=pops, form=form)
        return given if is_wanted else None


def _checked(thing: Any, *kinds: type) -> Any:
    if not isinstance(thing, kinds):
        raise BadArgument("thing", type(thing), "what executors send each other (transfer_add_...)")
    return thing


def _read(path: str, **patterns: Any) -> Sources:
    try:
        return read_files(path, **patterns)
    except (OSError, ValueError, TypeError) as error:
        raise SoftgridError(str(error)) from error
