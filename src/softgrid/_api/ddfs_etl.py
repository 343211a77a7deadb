"""DDFSETL: typed tables in the ddfs folder of whichever executor runs the code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from softgrid._api.here import own_ddfs_folder


class DDFSETL:
    """Reads and writes tables of one shape as text files with a separator between columns and a line for each row.

    Parameters
      1. dtypes (type, list): one of str, int, float, list, tuple, dict, for every column of however many there are; or
         a list of these, one for each column
      2. sep (str): one character between two columns
      3. null (object): what stands for "nothing here" among the values; on disk it is an empty field. Only an object
         that is the same or equal and of the same type is a null, so an empty string is told from it
      4. colNames (None, list): names of the columns, which every table must have then

    Files stand in the ddfs folder of the executor whose process uses them: its parameter ``ddfsDir``, by default
    ``~/.local/share/softgrid/ddfs``, which the executors of one user and machine have in common. So the same
    DDFSETL, sent to a worker with a function, reads and writes there. Without an executor it is that default folder.

    What goes in comes out: texts with separators, quotes, line ends of every kind and NUL; integers of any size; floats
    to the last bit, infinities and not-a-number; lists, tuples and dictionaries of numbers, texts, bytes, booleans,
    None and each other.

    Raises ValueError (BadArgument) for a parameter that cannot be meant.

    >>> from softgrid.DDFS import DDFSETL
    >>> etl = DDFSETL(dtypes=[str, int, dict], sep=',')
    >>> etl.dump('people.csv', [['Ann, B.', 41, {'likes': ['tea']}], ['Zoë', None, {}]], header=['name', 'age', 'more'])
    2
    >>> header, data = etl.pull('people.csv')
    >>> header, data[1]
    (['name', 'age', 'more'], ['Zoë', None, {}])
    >>> [row[0] for row in etl.iter('people.csv')]
    ['Ann, B.', 'Zoë']
    """

    def __init__(
        self,
        dtypes: type | Sequence[type],
        sep: str = "\x01",
        null: object = None,
        colNames: Sequence[str] | None = None,
    ) -> None:
        self._dtypes = dtypes
        self._sep = sep
        self._null = null
        self._col_names = colNames
        self._tables()

    def __repr__(self) -> str:
        return f"<DDFSETL in {own_ddfs_folder()}>"

    def _tables(self) -> Any:
        from softgrid._store.ddfs import DelimitedTables

        return DelimitedTables(
            own_ddfs_folder(), self._dtypes, separator=self._sep, null=self._null, column_names=self._col_names
        )

    def dump(self, path: str, data: Any, header: Sequence[str] | None = None, replace: bool = True) -> int:
        """Write a table.

        Parameters
          1. path (str): path of the file below the ddfs folder; folders on the way are made
          2. data (list, numpy.ndarray): rows, each a list or tuple with a value for each column; or an array of 2
             dimensions; or anything that gives rows one by one, of which only some are held at a time
          3. header (None, list): names of the columns; None: ``colNames``, else column_1, column_2, …
          4. replace (bool): whether an existing file is replaced, which happens at once and as a whole

        Returns
          1. count (int): number of rows written

        Raises ValueError (MalformedTable) that says in which row, counted from 1, and column a value or a length is
        wrong, ValueError (Duplicate) for an existing file without *replace*, ValueError for a path that leads out of
        the folder, NotWritten where the disk refuses. The file is then as it was before. Blocks until it is on disk.
        """
        count: int = self._tables().dump(path, data, header=header, replace=replace)
        return count

    def pull(self, path: str) -> tuple[list[str], list[list[Any]]]:
        """Read a whole table.

        Parameters
          1. path (str): path of the file below the ddfs folder

        Returns
          1. header (list): names of the columns
          2. data (list): rows, each a list of values

        Raises NotRead for a file that is not there, ValueError (MalformedTable) that says in which row and column the
        file is not what its types say: a text that is no number, a row of another length, bytes that are no UTF-8, an
        end within a row. Blocks while it reads.
        """
        header, data = self._tables().pull(path)
        return header, data

    def iter(self, path: str, n: int = 1, header: bool = False) -> Iterator[Any]:
        """Read a table some rows at a time, however large it is, in a few MB of memory.

        Parameters
          1. path (str): path of the file below the ddfs folder
          2. n (int): number of rows in each step
          3. header (bool): whether the names of the columns come with each step

        Returns
          1. steps (iterator): for *n* of 1 one row after the other, else lists of *n* rows, the last one of what is
             left; with *header* tuples of the names and that. The file is closed when the iteration ends or is given up

        Raises what ``pull`` raises: what concerns the path, the header line and *n* at once, the rest when it comes to
        that row.
        """
        steps: Iterator[Any] = self._tables().iter(path, n, header=header)
        return steps
