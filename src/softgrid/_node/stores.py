"""What one executor keeps: objects, data, functions, files and packages, for its own user and for peers.

One per executor. The engines in `_store` know nothing of each other, of folders that come and go, and of the forms in
which users give functions; this joins them. Called from any thread, never from a callback: users' code may run here.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from softgrid._model.errors import BadArgument, Closed
from softgrid._node.home import SITE, Home
from softgrid._store.callables import StoredFunction, function_from, source_of, to_travel
from softgrid._store.named import NamedStore
from softgrid._store.objects import Serialized, StoredObject, as_users_know_it, revive, serialize
from softgrid._wire.calls import encode_result

if TYPE_CHECKING:
    from softgrid._store.files import FileStore, PoppedFile
    from softgrid._store.packages import Package, PackageStore

AS_IS, SERIALIZED, TRAVELLING = "as is", "serialized", "travelling"
"""Forms of what is kept: itself; serialised, as users know it; and as a result that another executor makes it of."""

TEMPORARY, PERMANENT = "temporary", "permanent"
_ABSENT = object()


class Stores:
    """Objects, data, functions, files and packages of one executor."""

    def __init__(self, home: Home, permanent: str, functions: dict[str, Any]) -> None:
        self._home = home
        self._permanent = permanent
        self._lock = threading.Lock()
        self._files: FileStore | None = None
        self._packages: PackageStore | None = None
        self._is_closed = False
        self.objects: NamedStore[StoredObject] = NamedStore("object")
        self.data: NamedStore[Any] = NamedStore("data")
        self.functions: NamedStore[StoredFunction] = NamedStore("function", functions)
        self._stores: dict[str, NamedStore[Any]] = {
            "object": self.objects,
            "data": self.data,
            "function": self.functions,
        }

    def __repr__(self) -> str:
        kept = ", ".join(f"{kind}={len(store)}" for kind, store in self._stores.items())
        return f"Stores({kept}, files={self._files!r}, packages={self._packages!r})"

    # -- objects, functions ---------------------------------------------------------------------------------------

    def add_object(self, name: str, serialized: object, *, replace: bool) -> None:
        """Keep an object that comes serialised."""
        self.objects.check_free(name, replace=replace)
        self.objects.add(name, revive(serialized), replace=replace)

    def add_function(self, name: str, given: object, *, wants_executor: bool, replace: bool) -> None:
        """Keep a function that calls can name from then on."""
        if not isinstance(wants_executor, bool):
            raise BadArgument("firstArgExecutor", wants_executor, "True or False")
        self.functions.check_free(name, replace=replace)
        function = function_from(given, "func", name)
        self.functions.add(name, StoredFunction(function, wants_executor, source_of(given)), replace=replace)

    def give(
        self, kind: str, name: str, default: Any = None, *, must_exist: bool, pops: bool = False, form: str = AS_IS
    ) -> Any:
        """Give what is kept under a name in one of its forms; it is popped only once it could be made."""
        pack = _FORMS.get((kind, form))
        if pack is None:
            raise BadArgument("kind", kind, "'object', 'data' or 'function'")
        store = self._stores[kind]
        while True:
            kept = store.get(name, _ABSENT, must_exist=must_exist)
            if kept is _ABSENT:
                return default
            packed = pack(kept)
            if not pops or store.drop(name, kept):
                return packed

    # -- files ----------------------------------------------------------------------------------------------------

    @property
    def files(self) -> FileStore:
        """The named files."""
        from softgrid._store.files import FileStore

        with self._lock:
            if self._files is None:
                self._files = FileStore(temporary=self._temporary, permanent=self._permanent)
            return self._files

    def add_file(
        self,
        name: str,
        path: Any,
        data: Any,
        *,
        root: Any = TEMPORARY,
        writer: Any = None,
        args: Any = None,
        kwargs: Any = None,
        reader: Any = None,
        replace: bool = True,
    ) -> str:
        """Write a file and keep its name; gives where it is. The functions come in any of the forms that users know."""
        _check_arguments("w", args, kwargs)
        with self.room(root):
            file = self.files.add(
                name,
                path,
                data,
                root=root,
                writer=self._function("writeFunc", writer),
                writer_args=args,
                writer_kwargs=kwargs,
                reader=self._function("readFunc", reader),
                replace=replace,
            )
        return file.location

    def get_file(self, name: str, default: Any, args: Any, kwargs: Any, *, must_exist: bool) -> Any:
        """Read a file."""
        _check_arguments("r", args, kwargs)
        return self.files.get(name, default, reader_args=args, reader_kwargs=kwargs, must_exist=must_exist)

    def pop_file(self, name: str, args: Any, kwargs: Any, *, must_exist: bool, delete: bool) -> PoppedFile | None:
        """Read a file and forget its name; None when there is none and none must exist."""
        _check_arguments("r", args, kwargs)
        return self.files.pop(name, reader_args=args, reader_kwargs=kwargs, must_exist=must_exist, delete=delete)

    def _function(self, parameter: str, given: object) -> Callable[..., Any] | None:
        if isinstance(given, str) and given in self.functions:
            return self.functions.get(given).function
        return None if given is None else function_from(given, parameter)

    # -- packages -------------------------------------------------------------------------------------------------

    @property
    def packages(self) -> PackageStore:
        """What was made importable."""
        import site

        from softgrid._store.packages import PackageStore

        with self._lock:
            if self._packages is None:
                sites = {
                    TEMPORARY: os.path.join(self._temporary, SITE),
                    "permanent": os.path.join(self._permanent, SITE),
                    "user": site.getusersitepackages(),
                }
                self._packages = PackageStore(sites)
            return self._packages

    def add_package(self, package: Any, *, relative_root: Any, site: Any, replace: bool) -> Package:
        """Make a package or module importable."""
        if self._is_closed:
            raise Closed("this executor has left the grid, and imports nothing for it any more")
        with self.room(site):
            return self.packages.add(package, relative_root=relative_root, site=site, replace=replace)

    # -- folders --------------------------------------------------------------------------------------------------

    @property
    def _temporary(self) -> str:
        return os.path.join(self._home.path, TEMPORARY)

    def folder(self, root: object, parameter: str = "root") -> str:
        """Give the folder that 'temporary' or 'permanent' means here; what is put there needs room."""
        if root == TEMPORARY:
            return self._temporary
        if root == PERMANENT:
            return self._permanent
        raise BadArgument(parameter, root, "'temporary' or 'permanent'")

    def room(self, root: object) -> AbstractContextManager[None]:
        """Have that folder stay within the block, should the executor leave meanwhile."""
        return self._home.in_use() if root == TEMPORARY else nullcontext()

    def close(self) -> None:
        """Take packages off the import path; what is kept in memory stays, for who still asks."""
        self._is_closed = True
        if self._packages is not None:
            self._packages.close()


def _check_arguments(initial: str, args: object, kwargs: object) -> None:
    if args is not None and not isinstance(args, (list, tuple)):
        raise BadArgument(f"{initial}args", args, "None or a list of arguments")
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise BadArgument(f"{initial}kwargs", kwargs, "None or a dictionary of keyword arguments")


def _serialized(stored: StoredObject, *, is_whole: bool) -> Serialized:
    """An object serialised again: by dill where it came by dill, else by whatever can."""
    return serialize(stored.value, "dill" if stored.loads == "dill" else None, is_whole=is_whole)


_FORMS: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("object", AS_IS): lambda stored: stored.value,
    ("object", SERIALIZED): lambda stored: as_users_know_it(_serialized(stored, is_whole=True)),
    ("object", TRAVELLING): lambda stored: _serialized(stored, is_whole=False),
    ("data", AS_IS): lambda value: value,
    ("data", TRAVELLING): lambda value: encode_result((value,)),
    ("function", AS_IS): lambda stored: stored.function,
    ("function", TRAVELLING): lambda stored: to_travel(stored.function, stored.source),
}
