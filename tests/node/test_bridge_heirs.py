"""The orchestrator has the bridges of who was lost built again, and believes of bridges only their builders."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.nodes import FakeReactor, FakeSwitch
from tests.harness.trees import A1, A2, B1, STRANGER, TOP, tree_of

from softgrid._model.names import node_id
from softgrid._node.bridge_heirs import BridgeHeirs
from softgrid._node.control import Control
from softgrid._state.inflight import InFlight
from softgrid._wire.control import encode_control
from softgrid._wire.framing import Kind

IS = {"op": "bridge_is", "from": A1, "to": B1, "password": "secret"}


class Top:
    """What of the orchestrator has to do with this."""

    def __init__(self) -> None:
        tree = tree_of(TOP)
        self.switch = FakeSwitch(node_id(TOP))
        self.switch.below = {node_id(member.name) for member in tree.below()}
        self.control = Control(self.switch, FakeReactor(), InFlight(), tree)  # type: ignore[arg-type]
        self.said: list[tuple[str, str]] = []
        self.heirs = BridgeHeirs(tree, self.control, lambda *said: self.said.append(said))

    def comes(self, message: dict[str, Any], source: str = A1, message_id: int = 5) -> None:
        self.control.on_control(None, node_id(source), message_id, encode_control(message))


@pytest.fixture
def top() -> Top:
    return Top()


@pytest.mark.parametrize(
    ("answer", "said"),
    [({"op": "answer"}, ("info", "there again")), ({"op": "error", "reason": "no way"}, ("warn", "no way"))],
)
def test_the_builder_of_a_bridge_builds_it_to_the_heir_with_the_same_password(top: Top, answer: Any, said: Any) -> None:
    top.comes({**IS, "to": STRANGER})
    top.heirs.on_heir(STRANGER, A2)
    asked = top.switch.take_one(Kind.CONTROL)
    assert asked.destination == node_id(A1)
    assert asked.message == {"op": "bridge_build", "to": A2, "timeout": 10.0, "password": "secret"}
    top.comes(answer, message_id=asked.message_id)
    [(kind, text)] = top.said
    assert kind == said[0]
    assert said[1] in text
    assert "secret" not in text
    top.switch.check_nothing_sent()


def test_nothing_is_built_for_a_bridge_that_was_or_to_one_who_is_not_there(top: Top) -> None:
    top.comes(IS)
    top.comes({"op": "bridge_was", "from": A1, "to": B1})
    top.heirs.on_heir(B1, A2)
    top.comes({**IS, "to": STRANGER})
    top.heirs.on_heir(A1, A2)
    top.switch.check_nothing_sent()
    assert top.said == []


@pytest.mark.parametrize("changed", [{"from": A2}, {"from": "A1"}, {"to": None}, {"password": 5}])
def test_what_nobody_who_built_a_bridge_says_is_not_believed(top: Top, changed: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=r"bridge|meant|password"):
        top.comes({**IS, **changed})
    assert len(top.heirs.known) == 0
