"""The named points at which a process of a grid can be told to die: all of them, and nowhere else.

A point is a place before or after one function of ours, and says whose process passes it in every grid that launches,
lets somebody in, works and leaves. Tests go through this list.
"""

from __future__ import annotations

from typing import NamedTuple

ORCHESTRATOR, SUPERVISOR, ROUTER, MANAGER, WORKER, GUEST = (
    "orchestrator",
    "supervisor",
    "router",
    "manager",
    "worker",
    "guest",
)
WHO = (ORCHESTRATOR, SUPERVISOR, ROUTER, MANAGER, WORKER, GUEST)
BEFORE, AFTER = "before", "after"


class Point(NamedTuple):
    """One place in our code: *when* is before or after *function* of *module*, in the process of *who*."""

    name: str
    who: str
    when: str
    module: str
    function: str


def _points(*lines: str) -> dict[str, Point]:
    points = [Point(*line.split()) for line in lines]
    return {point.name: point._replace(module=f"softgrid.{point.module}") for point in points}


LAUNCH = _points(
    "supervisor-wanted      orchestrator before _node.machines       Machines.take_supervisor",
    "supervisor-started     orchestrator after  _node.machines       Machines.take_supervisor",
    "supervisor-up          supervisor   before _launch.supervisor   Supervisor.run",
    "supervisor-told        supervisor   after  _launch.supervisor   Supervisor._begin",
    "launch-asked           orchestrator before _node.launching      Launching.launch",
    "place-reserved         orchestrator after  _node.launching      Launching._reserve",
    "launch-decided         orchestrator after  _node.launching      Launching._on_launch",
    "spawn-received         router       before _node.launching      Launching._on_spawn",
    "fork-asked             router       after  _launch.line         SupervisorLine.fork",
    "fork-received          supervisor   before _launch.supervisor   Supervisor._fork",
    "forked                 supervisor   after  _launch.supervisor   Supervisor._fork",
    "born                   worker       before _launch.supervisor   Supervisor._become_child",
    "lifeline-held          worker       after  _launch.supervisor   hold_on_to",
    "executor-made          manager      after  _api.child           _name_process",
    "join-asked             worker       after  _node.node           Node.adopt_uplink",
    "join-received          manager      before _node.membership     Membership._on_join",
    "join-admitted          manager      after  _node.membership     Membership._on_admitted",
    "joined-heard           router       before _node.membership     Membership._on_joined",
    "welcomed               worker       after  _node.membership     Membership._on_welcome",
    "launch-settled         router       after  _node.launching      Launching._settle",
)
HANDSHAKE = _points(
    "knocking               guest        before _node.knock          _knock_once",
    "private                guest        before _node.knock          _prove",
    "proved                 guest        after  _node.knock          _prove",
    "visitor-came           router       after  _node.doorway        Doorway._on_ready",
    "visitor-heard          router       after  _node.doorway        _Visitor._on_ready",
    "visitor-proved         router       before _node.admission      Admission.on_entered",
    "admission-asked        router       after  _node.admission      Admission._admit",
    "admission-decided      orchestrator after  _node.admission      Admission._on_admit",
    "guest-welcomed         guest        after  _node.joining        _Arrival.on_welcome",
)
TRANSFER = _points(
    "call-encoded           orchestrator before _node.transfers      Transfers._send_one",
    "call-sent              orchestrator after  _node.transfers      Transfers._send_one",
    "frames-read            router       before _node.switch         Switch._pass_on",
    "frames-passed          router       after  _node.switch         Switch._pass_on",
    "call-received          worker       before _node.execution      Execution.on_call",
    "call-accepted          worker       after  _node.execution      Execution.accept",
    "task-begins            worker       before _node.execution      Execution.run",
    "task-ended             worker       after  _node.execution      Execution._outcome",
    "result-sent            worker       after  _node.execution      Execution.run",
    "result-received        orchestrator before _node.transfers      Transfers.on_result",
    "payload-shared         orchestrator after  _node.switch         Switch.share",
    "payload-taken          manager      after  _node.switch         Switch._take_attached",
    "request-received       worker       before _node.responder      Responder.on_request",
)
SHUTDOWN = _points(
    "leaving                orchestrator before _node.node           Node.leave",
    "bye-said               orchestrator after  _node.membership     Membership.say_bye",
    "bye-heard              manager      before _node.membership     Membership._on_bye",
    "children-killed        orchestrator after  _node.launching      Launching.kill_children",
    "end-asked              orchestrator after  _launch.local        LocalLine.say_end",
    "ending                 supervisor   before _launch.supervisor   Supervisor._end_everything",
    "ended                  supervisor   after  _launch.supervisor   Supervisor._end_everything",
    "death-seen             supervisor   before _launch.supervisor   Supervisor._bury",
    "buried                 supervisor   after  _launch.supervisor   Supervisor._bury",
    "loss-decided           manager      before _node.membership     Membership._lose",
    "loss-told              manager      after  _node.membership     Membership._lose",
    "homes-removed          supervisor   after  _launch.homes        Homes.remove_all",
)
POINTS = {**LAUNCH, **HANDSHAKE, **TRANSFER, **SHUTDOWN}
