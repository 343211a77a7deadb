"""read_files: the files of a package or module as a dictionary that can travel."""

from __future__ import annotations

from typing import Any

from softgrid._util import sources


def read_files(
    path: str,
    rejectFiles: sources.Names = sources.REJECT_FILES,
    acceptFiles: sources.Names = sources.ACCEPT_FILES,
    rejectFolders: sources.Names = sources.REJECT_FOLDERS,
    acceptFolders: sources.Names = sources.ACCEPT_FOLDERS,
    dataFiles: sources.Names | None = None,
) -> dict[str, Any]:
    """Read a module or package from disk.

    Parameters
      1. path (str): the module's file or the package's folder
      2. rejectFiles, acceptFiles (list, tuple): regular expressions for names of files; one that matches any of the
         first is left out, and so is one that matches none of the second; an empty list leaves nothing out
      3. rejectFolders, acceptFolders (list, tuple): the same for names of folders, with all that is in them
      4. dataFiles (None, list, tuple): paths relative to *path* that come along whatever the patterns say

    Returns
      1. package (dict): 'name', 'type' ('module' or 'package') and 'files', a dictionary of relative paths and bytes

    Raises FileNotFoundError for a path that is not there, ValueError for a pattern that is no regular expression or a
    link that leads out of the package. Blocks while it reads.

    >>> import json
    >>> from softgrid.Collections import read_files
    >>> read_files(json.__path__[0])['type']
    'package'
    """
    found = sources.read_files(
        path,
        reject_files=rejectFiles,
        accept_files=acceptFiles,
        reject_folders=rejectFolders,
        accept_folders=acceptFolders,
        data_files=dataFiles,
    )
    return {**found}
