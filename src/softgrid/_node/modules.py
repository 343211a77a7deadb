"""Modules that an executor lacks are asked for up the tree; the orchestrator finds them, and everybody on the way keeps
what passed.

up     module {name}      back     {source, file, is_package, problem}; source null and no problem: nowhere
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from softgrid._io.link import Link
from softgrid._io.reactor import Reactor
from softgrid._io.threads import Serial
from softgrid._model.errors import SoftgridError
from softgrid._node.control import Answer, Control
from softgrid._state.tree import Tree
from softgrid._store.fetched_modules import FetchedModules
from softgrid._store.found_modules import NOWHERE, FoundModule, find_module
from softgrid._wire.control import Message, field

ASK_S = 60.0
KEPT_BYTES = 64 * 1024 * 1024


class Modules:
    """Gives modules to those below, and fetches them for the imports of this process."""

    def __init__(
        self,
        tree: Tree[Link],
        control: Control,
        reactor: Reactor,
        on_bug: Callable[[BaseException], None],
        find: Callable[[str], FoundModule] = find_module,
    ) -> None:
        self._tree = tree
        self._control = control
        self._reactor = reactor
        self._find = find
        self._kept: dict[str, Message] = {}
        self._kept_bytes = 0
        self._asked: dict[str, list[Answer]] = {}
        self._finding = Serial("softgrid-modules", on_bug)
        self._imports = FetchedModules(self._fetch)
        control.methods["module"] = self._on_module

    def serve_imports(self) -> None:
        """Let this process import what the owner of the grid can."""
        self._imports.install()

    def close(self) -> None:
        """Not any more."""
        self._imports.uninstall()

    # -- for others -----------------------------------------------------------------------------------------------

    def _on_module(self, message: Message, source: int, answer: Answer) -> None:
        name = field(message, "name", str)
        kept = self._kept.get(name)
        if kept is not None:
            answer(kept)
            return
        asked = self._asked.setdefault(name, [])
        asked.append(answer)
        if len(asked) > 1:
            return
        upgrid = self._tree.upgrid
        if upgrid is None:
            self._finding.run(lambda: self._look_for(name))
        else:
            self._control.ask(upgrid, {"op": "module", "name": name}, lambda found: self._settle(name, found))

    def _look_for(self, name: str) -> None:
        try:
            found = self._find(name)
        except Exception as error:  # a finder of the user's raises what it likes
            found = FoundModule(None, problem=f"looking for module '{name}' failed: {type(error).__name__}: {error}")
        told = found._asdict()
        self._reactor.run_in_turn(lambda: self._settle(name, told))

    def _settle(self, name: str, found: Message | SoftgridError) -> None:
        if isinstance(found, SoftgridError):
            told: Message = {"source": None, "problem": f"module '{name}' cannot be asked for: {found}"}
        else:
            told = {key: value for key, value in found.items() if key != "op"}
            self._keep(name, told)
        for answer in self._asked.pop(name, []):
            answer(told)

    def _keep(self, name: str, told: Message) -> None:
        self._kept[name] = told
        self._kept_bytes += len(told.get("source") or "")
        while self._kept_bytes > KEPT_BYTES:
            dropped = self._kept.pop(next(iter(self._kept)))
            self._kept_bytes -= len(dropped.get("source") or "")

    # -- for this process -----------------------------------------------------------------------------------------

    def _fetch(self, name: str) -> FoundModule | None:
        """Ask for a module; blocks, and so asks nobody where waiting is forbidden."""
        upgrid = self._tree.upgrid
        if upgrid is None or self._reactor.holds_turn() or self._reactor.is_closed:
            return None
        try:
            return _read(self._control.ask_and_wait(upgrid, {"op": "module", "name": name}, ASK_S))
        except SoftgridError as error:
            raise ImportError(f"module '{name}' is not here, and asking for it failed: {error}", name=name) from None


def _read(told: Message) -> FoundModule:
    source: Any = told.get("source")
    if not isinstance(source, str) and not told.get("problem"):
        return NOWHERE
    return FoundModule(
        source if isinstance(source, str) else None,
        str(told.get("file") or ""),
        told.get("is_package") is True,
        str(told.get("problem") or ""),
    )
