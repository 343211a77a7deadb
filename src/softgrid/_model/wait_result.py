"""WaitResult: what waiting for requests or responses gave, by password."""

from __future__ import annotations

from typing import Any

from softgrid._model.status import SoftgridStatus


class WaitResult(dict[str, Any]):
    """A dictionary by password, which also says of each that did not come why.

    It is what ``wait_for_request`` and ``wait_for_response`` return.

    >>> result = orchestrator.wait_for_request('nobody knows this one', timeout=0)
    >>> result
    {'nobody knows this one': None}
    >>> print(result.failed['nobody knows this one'])
    failed: no request came within 0 s
    """

    failed: dict[str, SoftgridStatus]
    """For each password under which nothing came a failed status that says why."""

    def __init__(self) -> None:
        self.failed = {}
