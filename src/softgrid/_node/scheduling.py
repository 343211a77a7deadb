"""Tasks and jobs laid over the workers below."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from softgrid._io.link import Link
from softgrid._io.reactor import Reactor
from softgrid._model.errors import Refused, SoftgridError
from softgrid._model.transfer import TransferSpec
from softgrid._node.encoder import Kwargs
from softgrid._node.functions import FunctionTable
from softgrid._node.job_promises import JobPromises
from softgrid._node.jobs import JobRun, JobSpec
from softgrid._node.logs import Logs
from softgrid._node.promises import new_password
from softgrid._node.reserving import Outcome, Reserving, was_held
from softgrid._node.retrying import Place
from softgrid._node.transfers import Transfers
from softgrid._node.workers import Workers, check_worker
from softgrid._state.promise import check_password
from softgrid._state.reservations import Wish, read_promises
from softgrid._state.timeouts import check_timeout, wait_timeout
from softgrid._state.tree import Tree
from softgrid._wire.control import Message
from softgrid._wire.functions import FunctionName

Removed = tuple[str | None, Outcome]


class Scheduling:
    """Gives work to the workers below."""

    def __init__(
        self,
        tree: Tree[Link],
        reactor: Reactor,
        functions: FunctionTable,
        transfers: Transfers,
        workers: Workers,
        reserving: Reserving,
        logs: Logs,
    ) -> None:
        self._tree = tree
        self._reactor = reactor
        self._functions = functions
        self._transfers = transfers
        self._workers = workers
        self._reserving = reserving
        self._job_promises = JobPromises(reserving, workers)
        self._logs = logs

    def task(
        self,
        kwargs: Kwargs,
        worker: object,
        timeout: object,
        multiplier: object,
        *,
        collect: bool,
        on_timeout: object = "drop",
    ) -> Any:
        """Have one call run by *worker*, or by the one that has least to do; gives a list of its result, or None."""
        name = self._choose(kwargs) if worker is None else check_worker(worker, "worker")
        limit = check_timeout(timeout, "taskTimeout")
        if limit is not None:
            limit = wait_timeout(limit, multiplier, len(self._tree.path_of(name) or ()))
        place = self._place_elsewhere(kwargs) if worker is None else None
        spec = TransferSpec(kwargs, name, collect=collect, timeout=limit, on_timeout=on_timeout, place=place)
        return self._transfers.transfer(spec)

    def _place_elsewhere(self, kwargs: Kwargs) -> Place:
        """A task that was given to whoever had least to do goes there again, wherever that is then."""

        def place(index: int, name: str, is_gone: bool | None, on_place: Callable[[str | SoftgridError], None]) -> None:
            try:
                where = self._choose(kwargs)
            except SoftgridError:  # there is nobody now: maybe there will be
                self._transfers.place_again(index, name, is_gone, on_place)
            else:
                on_place(where)

        return place

    def _choose(self, kwargs: Kwargs) -> str:
        function, password = kwargs.get("function"), kwargs.get("promise_password")
        if password is None:
            is_named = isinstance(function, str) and function.isidentifier()
            runs_udf = not is_named or self._functions.is_users(FunctionName(str(function)))
            return self._workers.choose(self._workers.allowed(runs_udf=runs_udf))
        holders = [name for name in self._reserving.holders(check_password(password)) if self._tree.find(name)]
        if not holders:
            raise Refused("no worker below holds a promise of this executor with that password; name the worker")
        return self._workers.choose(holders)

    def reserve(self, wish: Wish, *, is_verbose: bool) -> list[Message]:
        """Reserve workers, as many as there must be, or none."""
        held = self._job_promises.reserve(wish)
        self._sayer(is_verbose)(f"a job is promised {', '.join(each['promise_executor'] for each in held)}")
        return held

    def take_back(self, promises: object, patience: float, *, force: object, is_verbose: bool) -> list[Removed]:
        """Take promises back; gives who held each, if anybody did, and what became of it."""
        holders: dict[str, list[str]] = {}
        for password, holder in read_promises(promises):
            holders.setdefault(password, []).extend([] if holder is None else [holder])
        removed = [each for named in holders.items() for each in self._take_back(*named, patience, force=force)]
        say = self._sayer(is_verbose)
        for name, outcome in removed:
            why = outcome if isinstance(outcome, SoftgridError) else outcome["reason"]
            say(f"a promise of {name or 'nobody'} is {'removed' if why is None else f'not removed: {why}'}")
        return removed

    def _take_back(self, password: str, names: list[str], patience: float, *, force: object) -> list[Removed]:
        """Take back from those named, or from all that are known to hold it, or from whoever turns out to."""
        known = names or self._reserving.holders(password)
        asked = known or self._tree.names("worker")
        outcomes = self._reserving.remove(asked, password, patience, force=force)
        removed: list[Removed] = list(zip(asked, outcomes, strict=True))
        if not known:
            removed = [each for each in removed if not isinstance(each[1], SoftgridError) and was_held(each[1])]
        return removed or [(None, Refused("no worker below holds a promise with that password"))]

    def job(self, spec: JobSpec) -> list[Any] | None:
        """Reserve workers, have all tasks of a job run by them, and collect when asked to."""
        limit = check_timeout(spec.timeout, "jobTimeout")
        password = new_password() if spec.wish.password is None else check_password(spec.wish.password)
        say = self._sayer(spec.is_verbose)
        run = JobRun(spec, password, limit, self._transfers, self._reserving, self._reactor, say)
        if run.encode():
            with self._reserving.listening(password, run), run.cancellable():
                held = self._job_promises.reserve(spec.wish._replace(password=password, is_kept=True), limit)
                self._reactor.run_in_turn(lambda: run.start(held))
        return run.collect() if spec.collect else None

    def _sayer(self, is_verbose: bool) -> Callable[[str], None]:
        return lambda text: self._logs.say("info", text) if is_verbose else None
