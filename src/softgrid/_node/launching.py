"""Launching executors: asked of the orchestrator, which knows all rules; performed by the executor that will be the
upgrid.

asker → orchestrator launch {items, timeout, retry} the orchestrator reserves a place for each item, or refuses it
orchestrator → upgrid spawn {items, timeout, retry} the upgrid forks through its supervisor and sees each one join
upgrid → orchestrator place {ticket, machine} which machine an address that nobody knew stands for; it may have no place
back {results: [{name} or {step, reason, tail}]}, one per item, in their order
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from softgrid._io.link import Link
from softgrid._io.ports import is_local
from softgrid._io.process import cause_of_death, signal_name
from softgrid._io.reactor import Reactor, Timer, Waiter
from softgrid._launch.line import SupervisorLine
from softgrid._launch.local import LocalLine
from softgrid._model.addresses import parse_address
from softgrid._model.causes import with_output
from softgrid._model.errors import LaunchFailed, Refused, SoftgridError
from softgrid._model.names import NodeId, node_id, parse_name
from softgrid._model.roles import DEFAULT_RELAUNCH
from softgrid._model.rules import Rules
from softgrid._node.control import Answer, Control
from softgrid._node.health import Health
from softgrid._node.logs import Logs
from softgrid._node.machines import Machines
from softgrid._node.membership import Membership
from softgrid._node.places import Places
from softgrid._node.switch import Switch
from softgrid._state.capacity import Census
from softgrid._state.last_calls import Running, read_last_call
from softgrid._state.tree import Tree
from softgrid._wire.control import Message, field
from softgrid._wire.values import load_pickler

if TYPE_CHECKING:
    from softgrid._launch.ssh import SshLine
    from softgrid._launch.starting import StartedSupervisor

CAUSE_PATIENCE_S = 0.5
LOOPBACK = "127.0.0.1"


class Spawn:
    """One executor that is being launched, or was."""

    def __init__(self, item: Message, on_result: Callable[[Message], None], tries_left: int) -> None:
        self.item = item
        self.on_result = on_result
        self.tries_left = tries_left
        self.deadline: Timer | None = None
        self.pid: int | None = None
        self.name: str | None = None
        self.link: Link | None = None
        self.line: SupervisorLine | None = None
        self.cause: str | None = None
        self.tail: list[str] = []
        self.sentence = ""
        """Why its end was asked for, as far as it was for a fault of its own."""
        self.turned_away: SoftgridError | None = None
        self.on_cause: Callable[[str | None], None] | None = None
        self.retry_after_s = 0.0
        self.is_settled = self.is_given_up = False


class Launching:
    """The launches that this executor asks for, decides about or performs."""

    def __init__(
        self,
        tree: Tree[Link],
        switch: Switch,
        control: Control,
        membership: Membership,
        logs: Logs,
        reactor: Reactor,
        rules: Callable[[], Rules],
        address: str,
        bind_host: str,
        cores: int,
        health: Health,
    ) -> None:
        self._tree = tree
        self._switch = switch
        self._control = control
        self._membership = membership
        self._logs = logs
        self._reactor = reactor
        self._rules = rules
        self._address = address
        self._bind_host = bind_host
        self._cores = cores
        self.places = Places(tree, rules)
        self._health = health
        self._machines = Machines(reactor, rules, address, lambda: health.terms, self._on_machine_up)
        self._children: dict[str, Spawn] = {}
        self.is_at_home = True
        """Whether this is the machine of whoever asks for launches, whose paths mean something here: it is not once the
        way up led to another machine."""
        self.on_launched: Callable[[str, Message], None] = lambda name, item: None
        control.methods["launch"] = self._on_launch
        control.guest_methods["launch"] = self._on_guest_launch
        control.methods["spawn"] = self._on_spawn
        control.methods["place"] = control.guest_methods["place"] = self._on_place
        membership.cause_of = self._cause_of

    # -- asking ---------------------------------------------------------------------------------------------------

    def launch(self, items: list[Message], timeout: float, retry: int) -> list[Message]:
        """Launch executors and block until each is on the grid or has failed; gives one result per item."""
        message = {"op": "launch", "items": items, "timeout": timeout, "retry": retry}
        try:
            answer = self._control.ask_and_wait(self._tree.path[0], message, timeout + 5.0, load_pickler)
        except SoftgridError as error:
            return [_failed("ask the orchestrator", str(error)) for _ in items]
        results = answer.get("results")
        return results if isinstance(results, list) else []

    # -- deciding (the orchestrator) ------------------------------------------------------------------------------

    def launch_anew(self, items: list[Message], on_results: Callable[[list[Message]], None]) -> None:
        """Launch without blocking; for the orchestrator itself."""
        message = {"items": items, "timeout": self._rules()["timeout_long"], "retry": 0}
        self._on_launch(message, self._tree.node_id, lambda answer: on_results(answer["results"]))

    def _on_launch(self, message: Message, source: int, answer: Answer) -> None:
        items, results = message["items"], [None] * len(message["items"])
        if source != self._tree.node_id:  # who is whose heir is not for others to say
            items = [{key: value for key, value in item.items() if key != "heir_of"} for item in items]
        gathered = _Gathered(results, answer)
        census = self.places.census()
        groups: dict[str, list[tuple[int, Message]]] = {}
        for index, item in enumerate(items):
            try:
                place = self._reserve(item, census)
            except LaunchFailed as error:
                gathered.put(index, _failed(error.step, error.reason))
            else:
                groups.setdefault(item["upgrid"], []).append((index, {**item, **place}))
        for upgrid, members in groups.items():
            self._ask_to_spawn(upgrid, members, message, gathered)

    def _on_guest_launch(self, message: Message, source: int, answer: Answer) -> None:
        """An executor that joined by hand launches where it is at home: below itself."""
        asker = self._tree.members.get(NodeId(source))
        for item in message["items"]:
            path = self._tree.path_of(item["upgrid"])
            if asker is None or path is None or asker.name not in path:
                raise Refused(f"an executor that joined by hand launches below itself only, not below {item['upgrid']}")
        self._on_launch(message, source, answer)

    def _reserve(self, item: Message, census: Census) -> Message:
        """Take a place for an executor; gives its ticket, and whether to ask again when the machine is known."""
        try:
            self._tree.check_reachable(item["upgrid"])
            address = self._machine_of(item)
            ticket = self.places.take(address, item["role"], self._cores, item["upgrid"], census)
        except SoftgridError as error:
            raise LaunchFailed("rules", str(error), is_final=True) from None
        return {"ticket": ticket, "is_known": self.places.knows(item["upgrid"], address)}

    def _on_place(self, message: Message, source: int, answer: Answer) -> None:
        self.places.settle(field(message, "ticket", int), field(message, "machine", str), source)
        answer({})

    def _machine_of(self, item: Message) -> str:
        upgrid_address = parse_name(item["upgrid"]).address
        address = parse_address(item["address"])
        if address.is_ssh or not (address.host == upgrid_address or is_local(address.host)):
            return address.host
        return upgrid_address

    def _ask_to_spawn(
        self, upgrid: str, members: list[tuple[int, Message]], message: Message, gathered: _Gathered
    ) -> None:
        def on_answer(answer: Message | SoftgridError) -> None:
            for place, (index, item) in enumerate(members):
                self.places.give_back(item["ticket"])
                if isinstance(answer, SoftgridError):
                    gathered.put(index, _failed("ask the upgrid", str(answer)))
                    continue
                result = answer["results"][place]
                if "name" in result:
                    self.on_launched(result["name"], item)
                gathered.put(index, result)

        items = [item for _, item in members]
        self._control.ask(upgrid, {**message, "op": "spawn", "items": items}, on_answer)

    # -- performing (the upgrid) ----------------------------------------------------------------------------------

    def _on_spawn(self, message: Message, source: int, answer: Answer) -> None:
        if source != node_id(self._tree.path[0]):
            raise Refused("executors are launched when the orchestrator says so")
        items = message["items"]
        gathered = _Gathered([None] * len(items), answer)
        for index, item in enumerate(items):
            self._spawn(item, partial(gathered.put, index), message)

    def _spawn(self, item: Message, on_result: Callable[[Message], None], message: Message) -> None:
        spawn = Spawn(item, on_result, message["retry"])
        spawn.deadline = self._reactor.call_later(message["timeout"], lambda: self._on_timeout(spawn))
        self._start(spawn)

    def _start(self, spawn: Spawn) -> None:
        item = spawn.item
        try:
            address, line = self._machines.line_to(item)
        except SoftgridError as error:
            step, reason = (error.step, error.reason) if isinstance(error, LaunchFailed) else ("rules", str(error))
            self._settle(spawn, _failed(step, reason))
            return
        spawn.line = line
        if isinstance(line, LocalLine) or item.get("is_known") is True:
            self._fork(spawn, address, line)
        else:
            line.identify(lambda event: self._on_identified(spawn, address, line, event))

    def _on_identified(self, spawn: Spawn, address: str, line: SupervisorLine, event: Message) -> None:
        """The other machine has said who it is, or will not say anything any more."""
        if event["op"] == "orphaned":
            spawn.tail = event["tail"]
            self._fail(spawn, line.step, event["cause"])
            return
        if event["op"] != "identified":
            self._on_event(spawn, event)
            return

        def on_answer(answer: Message | SoftgridError) -> None:
            if isinstance(answer, SoftgridError):
                self._fail(spawn, "rules", str(answer), is_final=True)
            elif not spawn.is_settled:
                self._fork(spawn, address, line)

        place = {"op": "place", "ticket": spawn.item["ticket"], "machine": event["machine"]}
        self._control.ask(self._tree.path[0], place, on_answer)

    def _fork(self, spawn: Spawn, address: str, line: SupervisorLine) -> None:
        item, is_here = spawn.item, isinstance(line, LocalLine)
        spec = {
            "role": item["role"],
            "kwargs": item["kwargs"],
            "path": item["path"] if is_here and self.is_at_home else None,
            "is_at_home": is_here and self.is_at_home,
            "address": address,
            "bind_host": self._bind_host if is_here else LOOPBACK,
            "passes_descriptors": is_here,
            "rules": self._rules().as_dict(),
            "terms": list(self._health.terms),
        }
        link = line.fork(
            spec,
            self._switch.on_readable,
            self._membership.on_link_closed,
            lambda event: self._on_event(spawn, event),
        )
        spawn.link = link
        self._membership.expect(
            link, lambda error, name: self._on_joined(spawn, error, name), heir_of=item.get("heir_of")
        )

    def take_supervisor(self, started: StartedSupervisor) -> None:
        """Use a supervisor of this machine that was started before this executor was there."""
        self._machines.take_supervisor(started)

    def move_in(self, machine: str, home: str, line: LocalLine | None) -> None:
        """This executor has a home on the machine of that id now and, where it was forked, a line to who did that."""
        self.places.stand_at(self._address, machine)
        self._machines.move_in(home, line)

    def ensure_supervisor(self) -> None:
        """Have a supervisor, which removes this executor's home if it is killed; raises LaunchFailed. Blocks."""
        if self._machines.has_supervisor:
            return
        waiter, errors = Waiter(), []

        def start() -> None:
            try:
                self._machines.start_supervisor()
            except LaunchFailed as error:
                errors.append(error)
            waiter.set()

        self._reactor.run_in_turn(start)
        self._reactor.wait(waiter)
        if errors:
            raise errors[0]

    def _on_joined(self, spawn: Spawn, error: SoftgridError | None, name: str) -> None:
        if error is None:
            spawn.name = name
            self._children[name] = spawn
            self._settle(spawn, {"name": name, "pid": spawn.pid})
        else:
            spawn.turned_away = spawn.turned_away or error
            self._finish_failed(spawn)

    def _on_event(self, spawn: Spawn, event: Message) -> None:
        op = event["op"]
        if op == "forked":
            spawn.pid = event["pid"]
            if spawn.is_given_up:
                self._kill(spawn)
        elif op == "output":
            self._on_output(spawn, event["text"])
        elif op == "paused":
            self._on_paused(spawn, event["signal"])
        elif op == "failed":
            spawn.tail = event.get("tail", [])
            spawn.retry_after_s = event.get("retry_after_s", 0.0)
            self._fail(spawn, event.get("step", "fork"), event["reason"], is_final=event.get("is_final", False))
        elif op in ("exited", "orphaned"):
            spawn.tail = event["tail"]
            self._note_last_call(spawn, event)
            self._on_death(spawn, _cause_in(event))

    def _note_last_call(self, spawn: Spawn, event: Message) -> None:
        if spawn.name is None or "running" not in event:
            return
        is_asked = event["was_cancelled"] or spawn.name in self._membership.dismissed
        self._membership.last_calls.note(node_id(spawn.name), read_last_call(event, is_asked=is_asked))
        self._membership.note_last_calls_below(spawn.name, event.get("below", ()))
        if event["was_cancelled"]:
            event["cause"] = "killed, since a call that was cancelled did not end"

    def _on_paused(self, spawn: Spawn, number: int | None) -> None:
        if spawn.name is not None:
            reason = f"stopped by {signal_name(number)}" if number is not None else None
            self._health.on_paused(spawn.name, reason, lambda why: self._condemn(spawn, why))

    def _condemn(self, spawn: Spawn, why: str) -> None:
        """End one that is of no use any more, and say why when it is gone."""
        spawn.sentence = why
        self._kill(spawn)

    def _on_machine_up(self, line: SshLine) -> None:
        self._health.watch_machine(
            line, lambda: [name for name, spawn in self._children.items() if spawn.line is line and not spawn.cause]
        )

    def _on_death(self, spawn: Spawn, cause: str) -> None:
        if spawn.name is not None:
            self._health.on_gone(spawn.name)
        cause = f"{spawn.sentence}, and was ended" if spawn.sentence else cause
        spawn.cause = cause if spawn.name is None else with_output(cause, spawn.tail)
        if spawn.on_cause is not None:
            spawn.on_cause(spawn.cause)
        elif spawn.name is None:
            self._finish_failed(spawn)
        else:
            link = spawn.link
            self._reactor.call_later(CAUSE_PATIENCE_S, lambda: link.close("its process is gone") if link else None)

    def _finish_failed(self, spawn: Spawn) -> None:
        """Tell why an executor did not come up, once both its link and its process have said what they know."""
        if spawn.cause is None or spawn.turned_away is None:
            return
        if isinstance(spawn.turned_away, LaunchFailed):
            self._fail(spawn, spawn.turned_away.step, spawn.turned_away.reason, is_final=True)
        else:
            subject = "" if spawn.cause.startswith("the ") else "its process "
            self._fail(spawn, "start", f"{subject}{spawn.cause} before it had joined")

    def _fail(self, spawn: Spawn, step: str, reason: str, *, is_final: bool = False) -> None:
        if spawn.is_settled:
            return
        if spawn.tries_left > 0 and not is_final and not self._membership.leaves:
            spawn.tries_left -= 1
            spawn.pid = spawn.cause = spawn.turned_away = None
            self._reactor.call_later(spawn.retry_after_s, lambda: self._start_again(spawn))
            return
        tail = "".join(f"\n    {line}" for line in spawn.tail)
        self._settle(spawn, _failed(step, reason + (f"; its last output:{tail}" if tail else "")))

    def _start_again(self, spawn: Spawn) -> None:
        if not spawn.is_settled and not self._membership.leaves:
            self._start(spawn)

    def _kill(self, spawn: Spawn, running: Running | None = None) -> None:
        if spawn.pid is not None and spawn.line is not None:
            spawn.line.kill(spawn.pid, running)

    def _settle(self, spawn: Spawn, result: Message) -> None:
        if not spawn.is_settled:
            spawn.is_settled = True
            if spawn.deadline is not None:
                spawn.deadline.cancel()
            spawn.on_result(result)

    def _on_timeout(self, spawn: Spawn) -> None:
        if spawn.is_settled:
            return
        spawn.is_given_up = True
        step = "join" if spawn.pid is not None else spawn.line.step if spawn.line is not None else "fork"
        self._settle(spawn, _failed(step, f"not done on {spawn.item['address']} when the timeout of the launch passed"))
        self._kill(spawn)
        if spawn.link is not None:
            spawn.link.close("its launch was given up")

    # -- what became of them --------------------------------------------------------------------------------------

    def _on_output(self, spawn: Spawn, text: str) -> None:
        if spawn.name is not None:
            self._logs.say("stdout", text.rstrip("\n"), origin=spawn.name)

    def _cause_of(self, name: str, tell: Callable[[str | None], None]) -> None:
        spawn = self._children.pop(name, None)
        if spawn is None or spawn.cause is not None:
            tell(spawn.cause if spawn else None)
            return

        def tell_once(cause: str | None) -> None:
            if spawn.on_cause is not None:
                spawn.on_cause = None
                tell(cause)

        def give_up() -> None:
            if spawn.on_cause is not None and spawn.pid is not None:  # alive, but nobody can reach it any more
                self._kill(spawn)
            tell_once(None)

        spawn.on_cause = tell_once
        self._reactor.call_later(CAUSE_PATIENCE_S, give_up)

    def settle(self, on_settled: Callable[[], None]) -> None:
        """Call back when all that the children have written so far has been logged."""
        lines = self._machines.open_lines() if self._children else []
        waiting = len(lines)

        def on_one() -> None:
            nonlocal waiting
            waiting -= 1
            if not waiting:
                on_settled()

        for line in lines:
            line.settle(on_one)
        if not lines:
            on_settled()

    def kill_child(self, name: str, running: Running | None = None) -> bool:
        """End the executor of that name, whatever it is doing; False when it was not launched from here.

        *running*: only if that is the call which it runs.
        """
        spawn = self._children.get(name)
        if spawn is not None and spawn.cause is None:
            self._kill(spawn, running)
        return spawn is not None

    def may_return(self, name: str) -> bool:
        """Whether an executor that was launched from here may be launched anew when it is lost."""
        spawn = self._children.get(name)
        return spawn is not None and bool(spawn.item["kwargs"].get("relaunch", DEFAULT_RELAUNCH[spawn.item["role"]]))

    def kill_children(self) -> None:
        """End the executors that were launched from here."""
        for spawn in self._children.values():
            if spawn.cause is None:
                self._kill(spawn)

    def end(self, timeout: float) -> None:
        """End the supervisors that were started here, and with them everything they started."""
        self._machines.end(timeout)

    def abandon(self) -> None:
        """In a forked process: the supervisors belong to the parent."""
        self._machines.abandon()


class _Gathered:
    """Results that come in any order, answered when all are there."""

    def __init__(self, results: list[Any], answer: Answer) -> None:
        self._results = results
        self._missing = len(results)
        self._answer = answer
        if not results:
            answer({"results": []})

    def put(self, index: int, result: Message) -> None:
        self._results[index] = result
        self._missing -= 1
        if not self._missing:
            self._answer({"results": self._results})


def _cause_in(event: Message) -> str:
    """Say what the supervisor, or the line to it, told of an end."""
    cause: str | None = event.get("cause")
    if cause is None:
        cause = cause_of_death(event["code"], event["signal"])
    return f"{cause}, {event['memory']}" if event.get("memory") else cause


def _failed(step: str, reason: str) -> Message:
    return {"step": step, "reason": reason}
