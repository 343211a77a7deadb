"""What an executor died of, in words: the first line says it, the lines after it are the last output of its process."""

from __future__ import annotations

from collections.abc import Sequence

MAX_LINE, MAX_OUTPUT = 400, 4000
_OUTPUT = "its last output:"


def with_output(cause: str, lines: Sequence[str]) -> str:
    """Give a cause with the last output, whose end is kept when it is too long.

    >>> with_output("killed by signal 11 (SIGSEGV)", ["Fatal Python error"])
    'killed by signal 11 (SIGSEGV)\\nits last output:\\n    Fatal Python error'
    """
    shown: list[str] = []
    room = MAX_OUTPUT
    for line in reversed(lines):
        line = line if len(line) <= MAX_LINE else line[: MAX_LINE - 1] + "…"
        room -= len(line)
        if room < 0:
            break
        shown.append(f"\n    {line}")
    return f"{cause}\n{_OUTPUT}{''.join(reversed(shown))}" if shown else cause


def headline(cause: str) -> str:
    """Give what a cause says, without the output."""
    return cause.partition("\n")[0]


def remarked(cause: str, remark: str) -> str:
    """Give a cause with something said after its first line.

    >>> remarked("killed\\nits last output:", "; the call may have run")
    'killed; the call may have run\\nits last output:'
    """
    head, newline, output = cause.partition("\n")
    return f"{head}{remark}{newline}{output}"
