"""RequesterResponderBase: ask a peer and wait for its answer."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

from softgrid._api.boundary import or_status, status_of
from softgrid._api.one_or_many import Peers, check_flag, check_name
from softgrid._api.transfer_base import TransferBase
from softgrid._model.errors import BadArgument, SoftgridError
from softgrid._model.names import node_id, parse_name
from softgrid._model.rules import LARGEST
from softgrid._model.status import SoftgridStatus
from softgrid._model.tokens import HIDDEN, token_of
from softgrid._model.wait_result import WaitResult
from softgrid._state.timeouts import check_timeout, check_wait

if TYPE_CHECKING:
    from softgrid._wire.framing import Outbound

Act = Callable[[int, str, bool], None]
"""What is done for one executor: given its place in the list, its name, and whether errors are logged."""


class RequesterResponderBase(TransferBase):
    """Ask an executor something, hold on until the answer is here, and let the question wander meanwhile.

    A *requester* sends a request under a password. Its *responder*, which waits for a request of that password, answers
    it, or hands it over to another responder, whose answer goes straight to the requester. Whoever knows the password
    may answer, unless the requester said who; the first answer counts, and every other is refused. All waiting is by
    event: the waiting thread uses no processor time, and it is woken by the death of whom it waits for.

    Cannot be made itself.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    # -- asking ---------------------------------------------------------------------------------------------------

    def transfer_request_to_responder(
        self,
        responder: str | list[str],
        password: str | list[str],
        request: Any,
        timeout: float | list[Any] | None = 3600,
        allowedResponders: str | list[str] | None = None,
        register: bool = True,
        errorRaise: bool | list[bool] = False,
        errorLog: bool | list[bool] = True,
    ) -> Any:
        """Send a request to a responder, or one to each of several.

        Parameters
          1. responder (str, list): grid unique name of whom to ask; a list: one request is sent to each
          2. password (str, list): what the responder waits for and an answer has to know. A registered request has its
             password for itself until its response is collected; a list of responders needs as many different ones
          3. request (object, list): what is asked. For a list of responders a list holds what each is asked; anything
             else is asked of all
          4. timeout (None, number, list): seconds within which the response has to come, after which it is refused;
             None: no limit
          5. allowedResponders (None, str, list): names of those whose responses are accepted; None: anybody's who knows
             the password
          6. register (bool): whether a response is expected. Without it there is nothing to wait for, and a password
             may be used for many, e.g. to tell all responders to stop
          7. errorRaise (bool, list): whether to raise what keeps a request from being sent
          8. errorLog (bool, list): whether to log it; also that it turned out to be undeliverable later

        Returns
          1. status (Collections.SoftgridStatus, list): whether the request was sent, for a list of responders one
             status for each. Why one could not be sent is also what waiting for its response gives

        Raises, with *errorRaise*, SoftgridError; the other requests are sent nevertheless. Does not wait for the
        response. Blocks until the data has left, and while so many requests are on their way to that responder that
        there is no room for more, *timeout* seconds at most.

        >>> worker = orchestrator.workers[0]
        >>> print(orchestrator.transfer_request_to_responder(worker, 'a password', request=2, timeout=60))
        worker|Worker@...: succeeded: request sent
        >>> print(orchestrator.transfer_request_to_responder(worker, 'a password', request=3, errorLog=False))
        worker|Worker@...: failed: password: got '(not shown)', accepted is one whose last request is collected; ...
        """

        if type(responder) is not str:
            asking = (password, request, timeout, allowedResponders, register)
            return self._for_each("responder", responder, "request sent", self._to_ask, asking, errorRaise, errorLog)
        try:
            self._check(errorRaise, errorLog, register, "register")
            parse_name(responder, "responder")
            self._node.requests.requester.ask(
                responder,
                token_of(password),
                _payload(request, "request"),
                _no_limit(timeout),
                None if allowedResponders is None else _allowed(allowedResponders),
                register,
                errorLog is True,
            )
        except SoftgridError as error:
            return self._failed(error, responder, errorRaise, errorLog)
        return SoftgridStatus(True, "request sent", name=responder)

    def _to_ask(
        self, peers: Peers, password: Any, request: Any, timeout: Any, allowed_responders: Any, register: Any
    ) -> Act:
        is_registered = check_flag("register", register)
        tokens = _tokens(peers, password, are_different=is_registered)
        timeouts = peers.each("timeout", timeout, lambda parameter, given: _no_limit(given))
        allowed = _allowed(allowed_responders)
        payloads = _payloads(peers, "request", request)
        ask = self._node.requests.requester.ask
        return lambda index, name, is_logged: ask(
            name, tokens[index], payloads[index], timeouts[index], allowed, is_registered, is_logged
        )

    def wait_for_response(
        self, password: str | list[str], timeout: float | list[Any] = 60, frequency: float = 0.001
    ) -> Any:
        """Wait for the responses to requests from here, and collect them.

        Parameters
          1. password (str, list): password of the request, or a list of them, all of which are waited for
          2. timeout (number, list): seconds to wait; 0 only looks; a list has one for each password; None: no limit.
             The request itself goes on when waiting for it ends like this
          3. frequency (number): accepted and not needed: waiting is by event

        Returns
          1. responses (Collections.WaitResult): a dictionary with, for each password, a dictionary of 'response' (a
             dictionary of 'value' and 'responder') and 'response_received_utctime' (seconds since the epoch). Where
             there is no response the time is None and the value is a failed status that says why: the time is over, the
             responder is gone (and of what), nothing was asked under this password, it was released. The same statuses
             stand in ``responses.failed``

        Blocks until all have come or never will. What was collected is known no more, and its password is free again.
        A failed status alone is returned when a parameter cannot be meant.

        >>> worker = orchestrator.workers[0]
        >>> status = orchestrator.transfer_request_to_responder(worker, 'a password', request='anybody there?')
        >>> responses = orchestrator.wait_for_response('a password', timeout=0.01)
        >>> print(responses['a password']['response']['value'])
        failed: worker|Worker@... has not answered within 0.01 s; it still may
        """
        try:
            collected = self._collect(self._node.requests.requester.collect, password, timeout, frequency)
        except SoftgridError as error:
            return status_of(error)
        result = WaitResult()
        for given, outcome in collected.items():
            if isinstance(outcome, SoftgridError):
                status = result.failed[given] = status_of(outcome)
                response, utc = {"value": status, "responder": None}, None
            else:
                responder, value, utc = outcome
                response = {"value": value, "responder": responder}
            result[given] = {"response": response, "response_received_utctime": utc}
        return result

    # -- answering ------------------------------------------------------------------------------------------------

    def wait_for_request(
        self, password: str | list[str], timeout: float | list[Any] = 60, frequency: float = 0.001
    ) -> Any:
        """Wait for requests to come here, and take one of each password.

        Parameters
          1. password (str, list): password of the request, or a list of them, all of which are waited for
          2. timeout (number, list): seconds to wait; 0 only looks; a list has one for each password; None: no limit
          3. frequency (number): accepted and not needed: waiting is by event

        Returns
          1. requests (Collections.WaitResult): a dictionary with, for each password, None where no request came, else a
             dictionary of 'request' (what is asked), 'requester' (the grid unique name of whom to answer, also when
             another responder has handed the request over) and 'request_received_utctime' (seconds since the epoch).
             ``requests.failed`` says of each that did not come why, as a failed status

        Requests of one password are taken in the order in which they came; one whose requester is gone or waits no
        longer is not taken. Blocks until all have come or the time is over; a wait also ends when the last of those who
        have asked here under that password is gone. A failed status alone is returned when a parameter cannot be meant.

        >>> requests = orchestrator.wait_for_request('a password', timeout=0.01)
        >>> requests['a password'] is None
        True
        >>> print(requests.failed['a password'])
        failed: no request came within 0.01 s
        """
        try:
            collected = self._collect(self._node.requests.responder.collect, password, timeout, frequency)
        except SoftgridError as error:
            return status_of(error)
        result = WaitResult()
        for given, outcome in collected.items():
            if isinstance(outcome, SoftgridError):
                result[given], result.failed[given] = None, status_of(outcome)
            else:
                requester, value, utc = outcome
                result[given] = {"request": value, "requester": requester, "request_received_utctime": utc}
        return result

    def transfer_response_to_requester(
        self,
        requester: str | list[str],
        password: str | list[str],
        response: Any,
        blocking: bool = False,
        errorRaise: bool | list[bool] = False,
        errorLog: bool | list[bool] = True,
    ) -> Any:
        """Answer a request, or one request of each of several requesters.

        Parameters
          1. requester (str, list): grid unique name of who asked
          2. password (str, list): password of the request; a list has one for each requester
          3. response (object, list): the answer. For a list of requesters a list holds what each is answered; anything
             else is answered to all
          4. blocking (bool): whether to wait until the requester has taken the response or refused it, which else is
             only logged
          5. errorRaise (bool, list): whether to raise what went wrong; the requester's word is waited for then too
          6. errorLog (bool, list): whether to log it; also a refusal that comes later

        Returns
          1. status (Collections.SoftgridStatus, list): whether the response was sent and, with *blocking*, taken; for a
             list of requesters one status for each

        A requester refuses a response with a wrong password, to what it did not ask, released or does not wait for any
        more, from one whom it does not allow, and a second one. That a request from there was answered already, or has
        no time left, is known here at once.

        Raises, with *errorRaise*, SoftgridError; the other responses are sent nevertheless. Blocks until the data has
        left; with *blocking* or *errorRaise* for the requester's word, as long as ``get_big_transfer_wait_timeout``
        says.

        >>> me = orchestrator.gridUniqueName
        >>> print(orchestrator.transfer_response_to_requester(me, 'a password', 4, blocking=True, errorLog=False))
        orchestrator|...: failed: orchestrator|... refused it: no request with that password waits for a response ...
        """

        if type(requester) is not str:
            answering = (password, response, blocking, errorRaise)
            return self._for_each(
                "requester", requester, "response sent", self._to_respond, answering, errorRaise, errorLog
            )
        try:
            self._check(errorRaise, errorLog, blocking, "blocking")
            wait = self._verdict_timeout() if blocking or errorRaise else None
            parse_name(requester, "requester")
            payload = _payload(response, "response")
            self._node.requests.responder.respond(requester, token_of(password), payload, errorLog is True, wait)
        except SoftgridError as error:
            return self._failed(error, requester, errorRaise, errorLog)
        return SoftgridStatus(True, "response sent", name=requester)

    def _to_respond(self, peers: Peers, password: Any, response: Any, blocking: Any, error_raise: Any) -> Act:
        tokens, payloads = _tokens(peers, password), _payloads(peers, "response", response)
        blocks, patience = check_flag("blocking", blocking), self._verdict_timeout()
        waits = [patience if blocks or raises else None for raises in peers.each("errorRaise", error_raise, check_flag)]
        respond = self._node.requests.responder.respond
        return lambda index, name, is_logged: respond(name, tokens[index], payloads[index], is_logged, waits[index])

    def _verdict_timeout(self) -> float:
        return self.get_big_transfer_wait_timeout()

    def transfer_asynchronous_request(
        self,
        requester: str | list[str],
        newResponder: str | list[str],
        password: str | list[str],
        response: Any,
    ) -> Any:
        """Hand a request that was received here over to another responder, whose answer goes straight to the requester.

        Parameters
          1. requester (str, list): grid unique name of who asked first
          2. newResponder (str, list): who is to answer instead; a list has one for each requester
          3. password (str, list): password of the request; a list has one for each requester
          4. response (object, list): what the new responder is asked: the request itself or whatever was made of it.
             For a list of requesters a list holds one for each; anything else goes to all

        Returns
          1. status (Collections.SoftgridStatus, list): whether the request was handed over; for a list of requesters
             one status for each. What could not be handed over is still to be answered here

        The new responder sees the first requester as its requester and may hand the request over again. The requester
        hears who has its request now, and fails it when that one dies. Errors are logged. Blocks until the data has
        left.

        >>> me, worker = orchestrator.gridUniqueName, orchestrator.workers[0]
        >>> status = orchestrator.transfer_request_to_responder(me, 'a password', request=2)
        >>> request = orchestrator.wait_for_request('a password')['a password']
        >>> print(orchestrator.transfer_asynchronous_request(request['requester'], worker, 'a password', 3))
        orchestrator|...: succeeded: request handed over
        """

        names = [requester] if isinstance(requester, str) else requester
        handing = (newResponder, password, response if names is requester else [response])
        statuses = self._for_each("requester", names, "request handed over", self._to_hand_over, handing, False, True)
        return statuses if names is requester or not isinstance(statuses, list) else statuses[0]

    def _to_hand_over(self, peers: Peers, new_responder: Any, password: Any, response: Any) -> Act:
        names = peers.each("newResponder", new_responder, check_name)
        tokens, payloads = _tokens(peers, password), _payloads(peers, "response", response)
        hand_over = self._node.requests.responder.hand_over
        return lambda index, name, is_logged: hand_over(name, names[index], tokens[index], payloads[index])

    # -- releasing ------------------------------------------------------------------------------------------------

    def release_request(self, password: str | list[str]) -> Any:
        """Forget what was sent or received under a password here, collected or not, and let go whoever waits for it.

        Parameters
          1. password (str, list): password of the request, or a list of them

        Returns
          1. status (Collections.SoftgridStatus, list): whether there was anything to forget or anybody to let go; for a
             list of passwords one status for each

        A ``wait_for_request`` or ``wait_for_response`` that is let go returns with a failed status for that password.
        A response that comes later is refused, and the password can be used again at once. Does not block.

        >>> status = orchestrator.transfer_request_to_responder(orchestrator.gridUniqueName, 'a password', 'hello')
        >>> print(orchestrator.release_request('a password'))
        succeeded: request released
        >>> print(orchestrator.release_request('a password'))
        failed: password: got '(not shown)', accepted is that of a request which ... sent, received or waits for
        """

        def release(given: Any) -> Any:
            self._node.requests.release(token_of(given))
            return SoftgridStatus(True, message="request released")

        if not isinstance(password, (list, tuple)):
            return or_status(release)(password)
        return [or_status(release)(given) for given in password]

    def transfer_release_request(self, gun: str | list[str], password: str | list[str]) -> Any:
        """Have requests forgotten by other executors, as ``release_request`` does it here.

        Parameters
          1. gun (str, list): grid unique name of the executor, or a list of them; this one may be among them
          2. password (str, list): password of the request; a list has one for each executor, or, where one executor is
             given, several for that one

        Returns
          1. status (Collections.SoftgridStatus, list): whether the executor has done it; a list of them where any
             parameter is one. A failed status says why not: the executor is gone or does not answer, or knows of none

        Blocks until all have answered, as long as ``get_small_transfer_wait_timeout`` says.

        >>> print(orchestrator.transfer_release_request(orchestrator.gridUniqueName, 'a password'))
        orchestrator|...: failed: password: got '(not shown)', accepted is that of a request which ...
        """
        guns = gun if isinstance(gun, (list, tuple)) else [gun]
        if guns is not gun and isinstance(password, (list, tuple)):
            guns = guns * len(password)
        statuses = self._release_elsewhere(guns, password)
        is_one = isinstance(gun, str) and isinstance(password, str)
        return statuses[0] if is_one and isinstance(statuses, list) else statuses

    @or_status
    def _release_elsewhere(self, guns: Any, password: Any) -> Any:
        self._node.check_open()
        peers = Peers("gun", guns)
        pairs = list(zip(peers.names, _tokens(peers, password), strict=True))
        errors = self._node.requests.release_elsewhere(pairs, self.get_small_transfer_wait_timeout())
        return [
            status_of(error, name=name) if error else SoftgridStatus(True, "request released", name=name)
            for name, error in zip(peers.names, errors, strict=True)
        ]

    # -- what they share ------------------------------------------------------------------------------------------

    def _check(self, error_raise: Any, error_log: Any, flag: Any, parameter: str) -> None:
        self._node.check_open()
        if not type(error_raise) is type(error_log) is type(flag) is bool:
            check_flag("errorRaise", error_raise)
            check_flag("errorLog", error_log)
            check_flag(parameter, flag)

    def _failed(self, error: SoftgridError, name: str | None, is_raised: Any, is_logged: Any) -> SoftgridStatus:
        if any(is_logged) if isinstance(is_logged, (list, tuple)) else is_logged:
            self._node.logs.say("error", f"{name}: {error}" if name else str(error))
        if any(is_raised) if isinstance(is_raised, (list, tuple)) else is_raised:
            raise error
        return status_of(error, name=name)

    def _for_each(
        self,
        parameter: str,
        given: Any,
        done: str,
        prepare: Callable[..., Act],
        arguments: tuple[Any, ...],
        error_raise: Any,
        error_log: Any,
    ) -> Any:
        """Check everything, then act for each of a list of executors; gives a status for each, or one if it is no list.

        An error that is to be raised is raised when all have had their turn.
        """
        try:
            self._node.check_open()
            peers = Peers(parameter, given)
            raises = peers.each("errorRaise", error_raise, check_flag)
            logs = peers.each("errorLog", error_log, check_flag)
            act = prepare(peers, *arguments)
        except SoftgridError as error:
            return self._failed(error, None, error_raise, error_log)
        statuses = [self._attempt(act, index, name, logs[index], done) for index, name in enumerate(peers.names)]
        for status, is_raised in zip(statuses, raises, strict=True):
            if is_raised and status.exception is not None:
                raise status.exception
        return statuses

    def _attempt(self, act: Act, index: int, name: str, is_logged: bool, done: str) -> SoftgridStatus:
        try:
            act(index, name, is_logged)
        except SoftgridError as error:
            return self._failed(error, name, False, is_logged)
        return SoftgridStatus(True, done, name=name)

    def _collect(
        self, collect: Callable[[dict[bytes, float]], dict[bytes, Any]], password: Any, timeout: Any, frequency: Any
    ) -> Any:
        """Wait for one thing under each password; gives each, or why there is none, by password."""
        self._node.check_open()
        if type(frequency) is not float or not frequency > 0:
            check_timeout(frequency, "frequency")
        if type(password) is str:  # what most waits are for, without what lists need
            token = token_of(password)
            return {password: collect({token: check_wait(timeout)})[token]}
        passwords = password if isinstance(password, (list, tuple)) else [password]
        tokens = [token_of(each) for each in passwords]
        if len(set(tokens)) < len(tokens):
            raise BadArgument("password", HIDDEN, "a list of different passwords")
        timeouts = timeout if isinstance(timeout, (list, tuple)) else [timeout] * len(tokens)
        if len(timeouts) != len(tokens):
            raise BadArgument("timeout", timeout, f"a number, or a list of as many as passwords ({len(tokens)})")
        collected = collect(dict(zip(tokens, map(check_wait, timeouts), strict=True)))
        return {given: collected[token] for given, token in zip(passwords, tokens, strict=True)}


def _no_limit(timeout: Any) -> float:
    if type(timeout) in (int, float) and 0 < timeout <= LARGEST:
        return timeout  # type: ignore[no-any-return]
    seconds = check_timeout(timeout)
    return inf if seconds is None else seconds


def _tokens(peers: Peers, password: Any, *, are_different: bool = False) -> list[bytes]:
    tokens = peers.each("password", password, lambda parameter, given: token_of(given))
    if are_different and len(set(tokens)) < len(tokens):
        raise BadArgument("password", HIDDEN, "a list of different passwords, one for each responder")
    return tokens


def _payload(value: Any, parameter: str) -> Outbound:
    from softgrid._wire.requests import encode_payload

    return encode_payload(value, parameter)


def _payloads(peers: Peers, parameter: str, given: Any) -> list[Outbound]:
    """Encode what each is sent; what many are sent is encoded once."""
    encoded: dict[int, Outbound] = {}
    values = peers.each_value(parameter, given)
    for value in values:
        if id(value) not in encoded:
            encoded[id(value)] = _payload(value, parameter)
    return [encoded[id(value)] for value in values]


def _allowed(given: Any) -> frozenset[int] | None:
    if given is None:
        return None
    names = given if isinstance(given, (list, tuple)) else [given]
    if not names:
        raise BadArgument("allowedResponders", given, "None for anybody, a grid unique name or a list of at least one")
    return frozenset(node_id(check_name("allowedResponders", name)) for name in names)
