"""Control: questions are answered once by whom they were put to, and unknown ones are answered too."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from tests.harness.nodes import FakeLink, FakeReactor, FakeSwitch
from tests.harness.trees import A1, A2, STRANGER, TOP, tree_of

from softgrid._io.descriptors import Descriptors
from softgrid._model.errors import NoRoute, PeerLost, Refused, SoftgridError, TimedOut, Undecodable
from softgrid._model.names import node_id
from softgrid._node.control import Control, error_message
from softgrid._state.inflight import InFlight
from softgrid._wire.control import decode_control, encode_control
from softgrid._wire.framing import Carried, FromGuest, Kind

ME, THEM = node_id(TOP), node_id(A1)


class Asking:
    """The control of one executor, alone."""

    def __init__(self) -> None:
        self.switch = FakeSwitch(ME)
        self.switch.below = {THEM}
        self.reactor = FakeReactor()
        self.inflight = InFlight()
        self.control = Control(self.switch, self.reactor, self.inflight, tree_of(TOP))  # type: ignore[arg-type]
        self.switch.deliver[Kind.CONTROL] = self.control.on_control
        self.answers: list[Any] = []

    def ask(self, name: str = A1, **message: Any) -> None:
        self.control.ask(name, {"op": "question", **message}, self.answers.append)

    def comes(self, message: Any, source: int = THEM, message_id: int = 5, link: Any = None) -> None:
        body = message if isinstance(message, bytes) else encode_control(message)
        self.control.on_control(link, source, message_id, body)


@pytest.fixture
def asking() -> Asking:
    return Asking()


# -- asking ---------------------------------------------------------------------------------------


def test_many_are_asked_at_once_and_their_answers_given_in_order(asking: Asking) -> None:
    asking.control.methods["double"] = lambda message, source, answer: answer({"twice": 2 * message["x"]})

    def answer_late(waiter: Any) -> None:
        (sent,) = [each for each in asking.switch.sent if each.destination == THEM]
        asking.comes({"op": "answer", "twice": 4}, message_id=sent.message_id)

    asking.reactor.while_waiting = answer_late
    questions = [(A1, {"op": "double", "x": 2}), (STRANGER, {"op": "double", "x": 3}), (TOP, {"op": "double", "x": 1})]
    theirs, nobodys, mine = asking.control.ask_all(questions, 5.0)
    assert (theirs, mine) == ({"op": "answer", "twice": 4}, {"op": "answer", "twice": 2})
    assert isinstance(nobodys, NoRoute)
    assert asking.control.ask_all([], 5.0) == []
    assert len(asking.inflight) == 0


def test_of_many_only_those_that_do_not_answer_are_out_of_time(asking: Asking) -> None:
    asking.control.methods["double"] = lambda message, source, answer: answer({})
    theirs, mine = asking.control.ask_all([(A1, {"op": "double"}), (TOP, {"op": "double"})], 2.0)
    assert isinstance(theirs, TimedOut)
    assert str(theirs) == f"no answer from {A1} to 'double' within 2 s"
    assert mine == {"op": "answer"}
    assert asking.reactor.waits == [2.0]
    assert len(asking.inflight) == 0


def test_a_question_is_sent_and_its_answer_given_once(asking: Asking) -> None:
    asking.ask(x=1)
    sent = asking.switch.take_one(Kind.CONTROL)
    assert (sent.destination, sent.message) == (THEM, {"op": "question", "x": 1})
    assert asking.answers == []
    for _ in range(2):
        asking.comes({"op": "answer", "y": 2}, message_id=sent.message_id)
    assert asking.answers == [{"op": "answer", "y": 2}]
    asking.switch.check_nothing_sent()


def test_an_answer_from_somebody_else_is_not_taken(asking: Asking) -> None:
    asking.ask()
    sent = asking.switch.take_one(Kind.CONTROL)
    asking.comes({"op": "answer"}, source=99, message_id=sent.message_id)
    assert asking.answers == []


@pytest.mark.parametrize(("is_lost", "kind"), [(True, PeerLost), (False, SoftgridError), (None, SoftgridError)])
def test_an_error_comes_back_as_an_error(asking: Asking, is_lost: Any, kind: type) -> None:
    asking.ask()
    message_id = asking.switch.take_one(Kind.CONTROL).message_id
    asking.comes({"op": "error", "reason": "no way", "is_lost": is_lost}, message_id=message_id)
    (answer,) = asking.answers
    assert type(answer) is kind
    assert str(answer) == "no way"


def test_somebody_who_is_nowhere_cannot_be_asked(asking: Asking) -> None:
    asking.ask(STRANGER)
    (answer,) = asking.answers
    assert isinstance(answer, NoRoute)
    assert STRANGER in str(answer)
    asking.switch.check_nothing_sent()
    assert len(asking.inflight) == 0


def test_the_death_of_who_was_asked_is_the_answer(asking: Asking) -> None:
    asking.ask()
    asking.inflight.lose({THEM}, lambda *about: PeerLost("gone"))
    assert [type(answer) for answer in asking.answers] == [PeerLost]


def test_an_answer_that_cannot_be_read_is_an_error(asking: Asking) -> None:
    asking.ask()
    message_id = asking.switch.take_one(Kind.CONTROL).message_id
    asking.inflight.settle(message_id, THEM, b"garbage")
    assert [type(answer) for answer in asking.answers] == [Undecodable]


def test_one_may_ask_oneself(asking: Asking) -> None:
    asking.control.methods["question"] = lambda message, source, answer: answer({"from": source == ME})
    asking.ask(TOP)
    assert asking.answers == [{"op": "answer", "from": True}]
    asking.switch.check_nothing_sent()


# -- asking many ----------------------------------------------------------------------------------


def test_many_are_asked_at_once_and_their_answers_come_in_the_order_of_the_names(asking: Asking) -> None:
    asking.switch.below.add(node_id(A2))

    def answer(waiter: Any) -> None:
        first, second = asking.switch.take(Kind.CONTROL)
        assert first.message == second.message == {"op": "question", "x": 1}
        asking.comes({"op": "answer", "y": 2}, source=node_id(A2), message_id=second.message_id)
        assert not waiter.done
        asking.comes({"op": "error", "reason": "no"}, message_id=first.message_id)

    asking.reactor.while_waiting = answer
    refused, answered = asking.control.ask_each([A1, A2], {"op": "question", "x": 1}, 3.0)
    assert (str(refused), answered) == ("no", {"op": "answer", "y": 2})
    assert asking.reactor.waits == [3.0]


def test_of_many_those_that_do_not_answer_in_time_are_told_apart(asking: Asking) -> None:
    asking.switch.below.add(node_id(A2))
    asking.reactor.while_waiting = lambda waiter: asking.comes(
        {"op": "answer"}, message_id=asking.switch.take(Kind.CONTROL)[0].message_id
    )
    answered, late = asking.control.ask_each([A1, A2], {"op": "question"}, 3.0)
    assert answered == {"op": "answer"}
    assert isinstance(late, TimedOut)
    assert str(late) == f"no answer from {A2} to 'question' within 3 s"
    assert len(asking.inflight) == 0


def test_of_many_those_that_are_nowhere_or_gone_meanwhile_are_not_waited_for(asking: Asking) -> None:
    asking.reactor.while_waiting = lambda waiter: asking.inflight.lose({THEM}, lambda *about: PeerLost("gone"))
    lost, nowhere = asking.control.ask_each([A1, STRANGER], {"op": "question"}, 3.0)
    assert (type(lost), type(nowhere)) == (PeerLost, NoRoute)
    assert STRANGER in str(nowhere)
    assert len(asking.inflight) == 0


def test_who_goes_while_being_asked_is_not_waited_for(asking: Asking) -> None:
    asking.switch.send = lambda *message: asking.switch.below.clear()  # type: ignore[method-assign]
    (answer,) = asking.control.ask_each([A1], {"op": "question"}, 3.0)
    assert isinstance(answer, NoRoute)
    assert asking.reactor.waits == []


def test_nobody_may_be_asked(asking: Asking) -> None:
    assert asking.control.ask_each([], {"op": "question"}, 3.0) == []
    assert asking.reactor.waits == []


def test_who_is_interrupted_while_waiting_for_many_waits_for_nobody(asking: Asking) -> None:
    def interrupt(waiter: Any) -> None:
        raise KeyboardInterrupt

    asking.reactor.while_waiting = interrupt
    with pytest.raises(KeyboardInterrupt):
        asking.control.ask_each([A1], {"op": "question"}, 3.0)
    assert len(asking.inflight) == 0


# -- asking and waiting ---------------------------------------------------------------------------


def answer_with(asking: Asking, message: Any) -> Any:
    def answer(waiter: Any) -> None:
        asking.comes(message, message_id=asking.switch.take_one(Kind.CONTROL).message_id)

    asking.reactor.while_waiting = answer


def test_waiting_gives_the_answer(asking: Asking) -> None:
    answer_with(asking, {"op": "answer", "y": 2})
    assert asking.control.ask_and_wait(A1, {"op": "question"}, 3.0) == {"op": "answer", "y": 2}
    assert asking.reactor.waits == [3.0]


def test_waiting_raises_the_error(asking: Asking) -> None:
    answer_with(asking, {"op": "error", "reason": "gone", "is_lost": True})
    with pytest.raises(PeerLost, match=r"^gone$"):
        asking.control.ask_and_wait(A1, {"op": "question"}, 3.0)


def test_waiting_in_vain_says_for_whom_for_what_and_how_long(asking: Asking) -> None:
    with pytest.raises(TimedOut) as caught:
        asking.control.ask_and_wait(A1, {"op": "question"}, 3.0)
    assert str(caught.value) == f"no answer from {A1} to 'question' within 3 s"


def test_several_are_asked_at_once_and_answer_in_any_order(asking: Asking) -> None:
    def answer(waiter: Any) -> None:
        first, second = asking.switch.take(Kind.CONTROL)
        asking.comes({"op": "answer", "to": second.message["x"]}, message_id=second.message_id)
        asking.comes({"op": "error", "reason": "no way"}, message_id=first.message_id)

    asking.reactor.while_waiting = answer
    questions = [(A1, {"op": "question", "x": number}) for number in (1, 2)]
    error, found = asking.control.ask_all([questions[0], (STRANGER, {"op": "question"}), questions[1]], 3.0)[::2]
    assert str(error) == "no way"
    assert found == {"op": "answer", "to": 2}
    assert asking.reactor.waits == [3.0]


def test_of_several_those_that_do_not_answer_are_named_and_forgotten(asking: Asking) -> None:
    def answer(waiter: Any) -> None:
        asking.comes({"op": "answer"}, message_id=asking.switch.take(Kind.CONTROL)[0].message_id)

    asking.reactor.while_waiting = answer
    found, missing = asking.control.ask_all([(A1, {"op": "one"}), (A1, {"op": "other"})], 3.0)
    assert found == {"op": "answer"}
    assert isinstance(missing, TimedOut)
    assert str(missing) == f"no answer from {A1} to 'other' within 3 s"
    assert len(asking.inflight) == 0


def test_asking_nobody_waits_for_nobody(asking: Asking) -> None:
    assert asking.control.ask_all([], 3.0) == []
    assert asking.reactor.waits == []


def test_what_nobody_waits_for_any_more_is_forgotten(asking: Asking) -> None:
    with pytest.raises(TimedOut):
        asking.control.ask_and_wait(A1, {"op": "question"}, 3.0)
    assert len(asking.inflight) == 0


# -- telling --------------------------------------------------------------------------------------


def test_something_told_is_not_waited_for(asking: Asking) -> None:
    asking.control.tell(A1, {"op": "news"})
    asking.control.tell_id(THEM, {"op": "news"})
    one, other = asking.switch.take(Kind.CONTROL)
    assert one.destination == other.destination == THEM
    assert one.message_id != other.message_id
    assert len(asking.inflight) == 0


def test_a_neighbour_is_told_over_its_link(asking: Asking) -> None:
    link = FakeLink("neighbour")
    asking.control.tell_neighbour(link, {"op": "join"})
    ((header, body),) = link.take_frames()
    assert (header.kind, header.destination, header.source) == (Kind.CONTROL, 0, 0)
    assert decode_control(body) == {"op": "join"}


# -- answering ------------------------------------------------------------------------------------


def test_a_method_is_told_the_question_and_who_asked_and_answers_when_it_likes(asking: Asking) -> None:
    told: list[Any] = []
    asking.control.methods["question"] = lambda *given: told.append(given)
    asking.comes({"op": "question", "x": 1})
    ((message, source, answer),) = told
    assert (message, source) == ({"op": "question", "x": 1}, THEM)
    asking.switch.check_nothing_sent()
    answer({"y": 2})
    sent = asking.switch.take_one(Kind.CONTROL)
    assert (sent.destination, sent.message_id, sent.message) == (THEM, 5, {"op": "answer", "y": 2})


def test_a_method_that_raises_answers_with_the_error(asking: Asking) -> None:
    def refuse(*given: Any) -> None:
        raise Refused("not here")

    asking.control.methods["question"] = refuse
    asking.comes({"op": "question"})
    message = asking.switch.take_one(Kind.CONTROL).message
    assert (message["op"], message["reason"], message["is_lost"]) == ("error", "not here", False)


def test_a_question_that_nobody_answers_is_answered_with_an_error(asking: Asking) -> None:
    asking.comes({"op": "__init__"})
    message = asking.switch.take_one(Kind.CONTROL).message
    assert message == {"op": "error", "reason": "no control method is named '__init__'"}


def test_a_question_that_lacks_something_is_answered_with_an_error(asking: Asking) -> None:
    asking.control.methods["question"] = lambda message, source, answer: answer({"y": message["x"]})
    with contextlib.suppress(KeyError):
        asking.comes({"op": "question"})
    assert asking.switch.take_one(Kind.CONTROL).message["op"] == "error"


def test_a_notice_is_told_its_link_and_is_not_answered(asking: Asking) -> None:
    told: list[Any] = []
    asking.control.notices["news"] = lambda *given: told.append(given)
    asking.comes({"op": "news"}, link="a link")
    assert told == [("a link", {"op": "news"}, THEM)]
    asking.switch.check_nothing_sent()


@pytest.mark.parametrize("op", ["answer", "error"])
def test_an_answer_to_nothing_is_dropped(asking: Asking, op: str) -> None:
    asking.comes({"op": op})
    asking.switch.check_nothing_sent()


@pytest.mark.parametrize("body", [b"", b"garbage", b"{}", b"[]", b'{"op":1}'])
def test_what_is_no_control_message_is_undecodable(asking: Asking, body: bytes) -> None:
    with pytest.raises(Undecodable):
        asking.comes(body)
    asking.switch.check_nothing_sent()


def test_a_lost_peer_is_told_from_other_errors() -> None:
    assert error_message(PeerLost("gone")) == {"op": "error", "reason": "gone", "is_lost": True}
    assert error_message(Refused("no")) == {"op": "error", "reason": "no", "is_lost": False}


# -- guests, and descriptors ----------------------------------------------------------------------


def test_who_is_asked_without_a_limit_is_waited_for_until_this_executor_leaves(asking: Asking) -> None:
    [answer] = asking.control.ask_each([A1], {"op": "question"}, None)
    assert isinstance(answer, TimedOut)
    assert "left the grid" in str(answer)
    assert asking.reactor.waits == [None]


@pytest.mark.parametrize("body", [encode_control({"op": "answer"}), FromGuest(encode_control({"op": "answer"}))])
def test_an_answer_says_whether_it_is_a_guests(asking: Asking, body: Any) -> None:
    asking.ask()
    message_id = asking.switch.take_one(Kind.CONTROL).message_id
    asking.control.on_control(None, THEM, message_id, body)
    assert asking.answers == [{"op": "answer", **({"from_guest": True} if type(body) is FromGuest else {})}]


def test_descriptors_go_with_a_question_where_the_way_passes_them(asking: Asking) -> None:
    carried: list[Any] = []
    passes = [True, False]
    asking.switch.send_carrying = lambda *given: carried.append(given) or passes.pop(0)  # type: ignore[attr-defined]
    descriptors = Descriptors()
    for _ in range(2):
        asking.control.ask(A1, {"op": "question"}, asking.answers.append, descriptors)
    assert [(given[0], decode_control(given[2]), given[3]) for given in carried] == [
        (THEM, {"op": "question"}, descriptors)
    ] * 2
    [refused] = asking.answers
    assert isinstance(refused, NoRoute)
    asking.switch.check_nothing_sent()


def test_a_question_about_descriptors_is_put_to_its_own_method(asking: Asking) -> None:
    taken: list[Any] = []
    asking.control.methods["plain"] = lambda message, source, answer: answer({})
    asking.control.carrying["about"] = lambda *given: (taken.append(given[:3]), given[3]({"ok": True}))
    descriptors = Descriptors()
    for op in ("about", "plain"):
        asking.control.on_control(None, THEM, 5, Carried(encode_control({"op": op}), descriptors))
    asking.comes({"op": "about"})
    assert taken == [(descriptors, {"op": "about"}, THEM)]
    answers = [sent.message for sent in asking.switch.take(Kind.CONTROL)]
    assert [answer["op"] for answer in answers] == ["answer", "error", "error"]
    assert answers[0]["ok"] is True


def test_what_only_a_neighbour_may_say_is_not_taken_from_further_away(asking: Asking) -> None:
    told: list[Any] = []
    asking.control.notices["left"] = lambda *given: told.append(given)
    asking.control.own_words.add("left")
    body = encode_control({"op": "left", "name": "x"})
    with pytest.raises(Undecodable, match="no neighbour"):
        asking.control.on_control(None, 77, 1, body)
    assert told == []
    asking.control.on_control(None, 0, 1, body)
    assert len(told) == 1
