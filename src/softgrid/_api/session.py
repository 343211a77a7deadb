"""How an executor that lives in a user's process shares that process: Ctrl-C, the end of the script, forks."""

from __future__ import annotations

import atexit
import os
import signal
import threading
import weakref
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softgrid._node.node import Node

_nodes: weakref.WeakSet[Node] = weakref.WeakSet()
_is_prepared = False


def enter(node: Node) -> None:
    """Take care of *node* for as long as this process lives."""
    _nodes.add(node)
    _prepare()
    _catch_interrupts()


def _prepare() -> None:
    global _is_prepared
    if not _is_prepared:
        _is_prepared = True
        atexit.register(_leave_all)
        os.register_at_fork(after_in_child=_forget_all)


def _catch_interrupts() -> None:
    """Let Ctrl-C come between our callbacks, not into one; where a program handles it itself, leave it."""
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _on_interrupt)


def _on_interrupt(number: int, frame: FrameType | None) -> Any:
    deferred = [node.reactor.defer_interrupt() for node in _nodes]
    if not any(deferred):
        raise KeyboardInterrupt


def _leave_all() -> None:
    for node in list(_nodes):
        node.leave()


def _forget_all() -> None:
    """In a process forked by user code: the grid belongs to the parent."""
    for node in list(_nodes):
        node.abandon()
    _nodes.clear()
