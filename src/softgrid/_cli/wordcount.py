"""The map-reduce of the demo: which names does a set of Python source files use, how often?

`count_identifiers` is the map, `Tally` the reduce, `balance` cuts the input into batches of
about equal size.  The demo runs the map on workers and once more serially.  Nothing here knows
of a grid; a file that Python itself cannot tokenise is reported as skipped, never guessed at.
"""

from __future__ import annotations

import heapq
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypedDict

INSTALLED_FOLDERS = frozenset({"site-packages", "dist-packages"})


class Source(NamedTuple):
    """One input file and its size in bytes."""

    path: str
    size: int


class BatchStats(TypedDict):
    """What one run of the map did, and where."""

    pid: int
    files: int
    tokens: int
    skipped: list[str]
    seconds: float


BatchResult = tuple[dict[str, int], BatchStats]


def count_identifiers(paths: Sequence[str]) -> BatchResult:
    """Count the names in *paths*; one that does not tokenise adds nothing but its own path.

    Imports what it needs itself, so that it also runs where softgrid's command line is absent.
    """
    import os
    import time
    import tokenize
    import warnings
    from collections import Counter
    from keyword import iskeyword

    started = time.perf_counter()
    counts: Counter[str] = Counter()
    skipped = []
    tokens = 0
    for path in paths:
        names = []
        seen = 0
        try:
            with open(path, "rb") as source, warnings.catch_warnings():
                # the tokeniser warns about odd literals, which are none of our business
                warnings.simplefilter("ignore")
                for token in tokenize.tokenize(source.readline):
                    seen += 1
                    if token[0] == tokenize.NAME:
                        names.append(token[1])
        except (tokenize.TokenError, SyntaxError, ValueError, OSError):
            skipped.append(path)
            continue
        tokens += seen
        counts.update(names)
    # far fewer distinct names than tokens: asking once per name is the cheap way round
    identifiers = {name: number for name, number in counts.items() if not iskeyword(name)}
    stats: BatchStats = {
        "pid": os.getpid(),
        "files": len(paths) - len(skipped),
        "tokens": tokens,
        "skipped": skipped,
        "seconds": time.perf_counter() - started,
    }
    return identifiers, stats


@dataclass
class Tally:
    """The sum of any number of batches; two tallies of the same files are equal."""

    counts: Counter[str] = field(default_factory=Counter)
    files: int = 0
    tokens: int = 0
    skipped: set[str] = field(default_factory=set)

    def add(self, result: BatchResult) -> None:
        """Take one batch in; the order of batches makes no difference."""
        counts, stats = result
        self.counts.update(counts)
        self.files += stats["files"]
        self.tokens += stats["tokens"]
        self.skipped.update(stats["skipped"])

    def top(self, number: int) -> list[tuple[str, int]]:
        """The most frequent names, equal counts in alphabetical order."""
        return heapq.nsmallest(number, self.counts.items(), key=lambda item: (-item[1], item[0]))


def find_sources(root: str) -> list[Source]:
    """Every Python file under *root* except installed packages, sorted by path.

    Links to folders are not followed, so no file is met twice that way.
    """
    return sorted(_walk(root))


def _walk(root: str) -> Iterator[Source]:
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = [name for name in subfolders if name not in INSTALLED_FOLDERS]
        for name in files:
            path = os.path.join(folder, name)
            if name.endswith(".py") and os.path.isfile(path):
                yield Source(path, os.path.getsize(path))


def balance(sources: Sequence[Source], number: int) -> list[list[str]]:
    """At most *number* batches, none empty, their sizes in bytes as equal as greedy gets them.

    Heaviest file first into the lightest batch; the heaviest batches come first in the answer,
    so that what is handed out last is small.
    """
    if number < 1:
        raise ValueError(f"number is {number!r}: at least 1 batch is needed")
    loads: list[tuple[int, int]] = [(0, index) for index in range(min(number, len(sources)))]
    batches: list[list[str]] = [[] for _ in loads]
    for source in sorted(sources, key=lambda source: (-source.size, source.path)):
        load, index = heapq.heappop(loads)
        batches[index].append(source.path)
        # an empty file still costs an open: without the 1, all of them would pile up in one batch
        heapq.heappush(loads, (load + source.size + 1, index))
    heaviest_first = sorted(loads, key=lambda entry: (-entry[0], entry[1]))
    return [batches[index] for _, index in heaviest_first]
