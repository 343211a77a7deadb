"""Modules that an executor lacks are asked for up the tree; the orchestrator finds them, and everybody on the way keeps
what passed.

up     module {name, shares, whole}      back     {source, file, is_package, problem, digest, is_shared}

Source null and no problem: there is none. The executors of a machine that was reached over ssh *share* texts: what one
of them was sent is not sent to the others, who are told its digest (*is_shared*) and, should they not find it, ask for
the *whole*.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from softgrid._io.link import Link
from softgrid._io.reactor import Reactor
from softgrid._io.shared_texts import SharedTexts, digest_of
from softgrid._io.threads import Serial
from softgrid._model.errors import Refused, SoftgridError
from softgrid._model.names import NodeId
from softgrid._node.control import Answer, Control
from softgrid._state.tree import Tree
from softgrid._store.fetched_modules import FetchedModules
from softgrid._store.found_modules import NOWHERE, FoundModule, find_module
from softgrid._wire.control import Message, field

ASK_S = 60.0
KEPT_BYTES = 64 * 1024 * 1024
KEPT_NAMES = 16 * 1024
MAX_ASKED = 1024
_ABSENT = SoftgridError("it was said to be on this machine, and is not")


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
        self._asked: dict[str, list[Callable[[Message], None]]] = {}
        self._texts: SharedTexts | None = None
        self._given: set[tuple[str, str]] = set()
        self._finding = Serial("softgrid-modules", on_bug)
        self._imports = FetchedModules(self._fetch)
        control.methods["module"] = self._on_module

    def serve_imports(self) -> None:
        """Let this process import what the owner of the grid can."""
        self._imports.install()

    def share(self, texts: SharedTexts) -> None:
        """Have these texts in common with the other executors of this machine."""
        self._texts = texts

    def close(self) -> None:
        """Not any more."""
        self._imports.uninstall()

    # -- for others -----------------------------------------------------------------------------------------------

    def _on_module(self, message: Message, source: int, answer: Answer) -> None:
        name = field(message, "name", str)
        machine = self._sharing_machine(source) if message.get("shares") is True else None
        is_whole = message.get("whole") is True

        def tell(told: Message) -> None:
            answer(told if machine is None else self._without_what_is_there(told, machine, is_whole))

        kept = self._kept.get(name)
        if kept is not None:
            tell(kept)
            return
        if name not in self._asked and len(self._asked) >= MAX_ASKED:
            raise Refused(f"{MAX_ASKED} modules are being looked for already")
        asked = self._asked.setdefault(name, [])
        asked.append(tell)
        if len(asked) > 1:
            return
        if self._tree.upgrid is None:
            self._finding.run(lambda: self._look_for(name))
        else:
            self._ask(name, self._tree.upgrid)

    def _sharing_machine(self, source: int) -> str | None:
        """Give the machine, if it is another one, of somebody directly below."""
        member = self._tree.members.get(NodeId(source))
        return None if member is None or member.hop.passes_descriptors else member.parsed.address

    def _without_what_is_there(self, told: Message, machine: str, is_whole: bool) -> Message:
        digest = told.get("digest")
        if not isinstance(digest, str):
            return told
        if not is_whole and (machine, digest) in self._given:
            return {**told, "source": None, "is_shared": True}
        self._given.add((machine, digest))
        return told

    def _ask(self, name: str, upgrid: str, *, whole: bool = False) -> None:
        def on_found(found: Message | SoftgridError) -> None:
            completed = found if isinstance(found, SoftgridError) else self._completed(found)
            if completed is None and not whole:
                self._ask(name, upgrid, whole=True)
            else:
                self._settle(name, completed or _ABSENT)

        self._control.ask(upgrid, self._question(name, whole=whole), on_found)

    def _question(self, name: str, *, whole: bool = False) -> Message:
        shares = {"shares": True} if self._texts is not None else {}
        return {"op": "module", "name": name, **shares, **({"whole": True} if whole else {})}

    def _completed(self, found: Message) -> Message | None:
        """Put in the source that this machine has already, or keep it for the others; None when it is not here."""
        source = found.get("source")
        if found.get("is_shared") is True:
            text = self._texts.get(_digest_in(found)) if self._texts is not None else None
            return None if text is None else {**found, "source": text.decode(), "is_shared": False}
        if self._texts is not None and isinstance(source, str):
            self._texts.add(source.encode())
        return found

    def _look_for(self, name: str) -> None:
        try:
            found = self._find(name)
        except Exception as error:  # a finder of the user's raises what it likes
            found = FoundModule(None, problem=f"looking for module '{name}' failed: {type(error).__name__}: {error}")
        told = found._asdict()
        if found.source:
            told["digest"] = digest_of(found.source.encode()).hex()
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
        while self._kept_bytes > KEPT_BYTES or len(self._kept) > KEPT_NAMES:
            dropped = self._kept.pop(next(iter(self._kept)))
            self._kept_bytes -= len(dropped.get("source") or "")

    # -- for this process -----------------------------------------------------------------------------------------

    def _fetch(self, name: str) -> FoundModule | None:
        """Ask for a module; blocks, and so asks nobody where waiting is forbidden."""
        upgrid = self._tree.upgrid
        if upgrid is None or self._reactor.holds_turn() or self._reactor.is_closed:
            return None
        try:
            found = self._completed(self._control.ask_and_wait(upgrid, self._question(name), ASK_S))
            if found is None:
                found = self._completed(self._control.ask_and_wait(upgrid, self._question(name, whole=True), ASK_S))
            return _read(found or {"problem": str(_ABSENT)})
        except SoftgridError as error:
            raise ImportError(f"module '{name}' is not here, and asking for it failed: {error}", name=name) from None


def _digest_in(found: Message) -> bytes:
    try:
        return bytes.fromhex(found["digest"])
    except (KeyError, TypeError, ValueError):
        return b""


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
