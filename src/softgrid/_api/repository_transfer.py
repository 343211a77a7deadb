"""RepositoryTransfer: files of pyrep repositories from one executor to another."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from softgrid._api.boundary import or_status
from softgrid._api.transfer_base import TransferBase
from softgrid._model.errors import BadArgument
from softgrid._model.status import SoftgridStatus
from softgrid._store.paths import split_path


class RepositoryTransfer:
    """Takes files out of a pyrep repository, as a call that puts them into one elsewhere. Needs the package pyrep
    (``pip install 'softgrid[pyrep]'``) on both machines.

    pyrep guards every open repository by a lock server of its own, which listens on its machine's address; softgrid
    opens repositories only for as long as it reads or writes them.
    """

    @staticmethod
    def get_repository_transfer_kwargs(
        localRepo: Any,
        paths: str | list[str],
        remoteRepo: str | tuple[str, str],
        remoteRepoInfo: Any = None,
        remoteRepoReplace: bool = False,
        remoteRepoReplaceFiles: bool = True,
    ) -> dict[str, Any]:
        """Give transfer kwargs that make their receiver put files of a repository into one of its own.

        Parameters
          1. localRepo (pyrep.Repository, str): the repository to read, or its path
          2. paths (str, list): paths of files, relative to it
          3. remoteRepo (str, tuple): path of the repository at the receiver, which is made where there is none; or a
             pair ('temporary' or 'permanent', path relative to that folder of the receiver)
          4. remoteRepoInfo (object): information of a repository that is made, anything that can be written as JSON;
             None or True: that of *localRepo*, False: none
          5. remoteRepoReplace (bool): whether a repository that is there is emptied first: pyrep removes all in its
             folder. Otherwise files are added to it, if it has the same information; another repository is an error
          6. remoteRepoReplaceFiles (bool): whether files that are there are replaced; otherwise they are an error

        Returns
          1. transferKwargs (dict): to be given to ``transfer``, whose result is then the status of ``dump``. The
             receiver may be of any role; one that runs no functions of users takes files that pyrep itself can write
             (pickle, dill, json, numpy), not those that bring source text to be written with.

        Raises ValueError (BadArgument) for what is no repository or no file of it, NotTransferred for what cannot be
        read or pickled, NotInstalled without pyrep. Blocks while it reads.
        """
        from softgrid._store.repositories import ShippedFiles, read_repository

        content = read_repository(_local(localRepo), _paths(paths))
        info = _info(remoteRepoInfo, content.info)
        args = (remoteRepo, info, remoteRepoReplace, ShippedFiles(content.files), remoteRepoReplaceFiles)
        template: dict[str, Any] = TransferBase.get_transfer_template(None, "_dump_repository", args)  # type: ignore[arg-type]
        return template

    @staticmethod
    @or_status
    def dump(
        executor: Any,
        repoPath: str | tuple[str, str],
        repoInfo: Any,
        repoReplace: bool,
        files: Mapping[str, Mapping[str, Any]],
        replaceFiles: bool,
    ) -> Any:
        """Put files into a repository of this machine.

        Parameters
          1. executor (softgrid Executor): the executor that runs this
          2. repoPath (str, tuple): path of the repository, or a pair as for ``get_repository_transfer_kwargs``
          3. repoInfo (None, object): information of a repository that is made
          4. repoReplace (bool): whether a repository that is there is emptied first
          5. files (dict): for each path relative to the repository a dictionary of 'dump' and 'pull', how pyrep writes
             and reads it, 'data', its value as ``pickle.dumps`` gives it, and, if wanted, 'description'
          6. replaceFiles (bool): whether files that are there are replaced

        Returns
          1. status (Collections.SoftgridStatus): success, or what went wrong. Values and paths are checked before
             anything is written; a file that pyrep then cannot write ends it, and those before it are there.
        """
        from softgrid._store.repositories import check_ways, write_repository

        if not executor.allowExecutingUDF:
            check_ways(files)
        path, room = _place(executor, repoPath)
        with room:
            count = write_repository(path, repoInfo, files, replace=repoReplace, replace_files=replaceFiles)
        return SoftgridStatus(True, message=f"{count} files are in repository {path!r}", data=path)


def _local(repository: Any) -> Any:
    if isinstance(repository, (str, os.PathLike)):
        return os.path.abspath(os.path.expanduser(os.fspath(repository)))
    if not hasattr(repository, "pull_file") or getattr(repository, "path", None) is None:
        raise BadArgument("localRepo", repository, "a pyrep Repository that is open, or the path of one")
    return repository


def _paths(paths: Any) -> list[str]:
    given = [paths] if isinstance(paths, str) else paths
    if not isinstance(given, (list, tuple)) or not all(isinstance(path, str) for path in given):
        raise BadArgument("paths", paths, "a path relative to the repository, or a list of them")
    return list(given)


def _place(executor: Any, given: Any) -> tuple[str, AbstractContextManager[None]]:
    """Give the path that is meant, and what has its folder stay there meanwhile."""
    if isinstance(given, str) and given:
        return os.path.abspath(os.path.expanduser(given)), nullcontext()
    if isinstance(given, (tuple, list)) and len(given) == 2:
        root, relative = given
        stores = executor._node.stores
        return os.path.join(stores.folder(root, "repoPath"), *split_path(relative, "repoPath")), stores.room(root)
    raise BadArgument("repoPath", given, "a path, or a pair of 'temporary' or 'permanent' and a relative path")


def _info(given: Any, local: Any) -> Any:
    if given is None or given is True:
        return local
    return "" if given is False else given
