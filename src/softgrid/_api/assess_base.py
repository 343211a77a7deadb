"""AssessBase: what a grid does, in figures and pictures."""

from __future__ import annotations

from typing import Any

from softgrid import Globals
from softgrid._api.boundary import or_status
from softgrid._api.grid_graph import GridGraph
from softgrid._api.methods_base import MethodsBase
from softgrid._insight import canvas, speed
from softgrid._insight.view import view_from


class AssessBase(MethodsBase):
    """Methods that look at the grid. Cannot be made itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def statistics(self, gridUniqueName: str | None = None, timeout: float = 10) -> dict[str, Any]:
        """Take stock of an executor: tasks, calls in flight, frames and bytes on its links, log records.

        Parameters
          1. gridUniqueName (None, str): the executor; None: this one
          2. timeout (number): seconds to wait for another executor's answer

        Raises SoftgridError when there is no answer. Blocks until it is there.

        >>> orchestrator.statistics()['tasks_queued']
        0
        """
        return self._node.statistics_of(gridUniqueName or self.gridUniqueName, timeout).as_dict()

    @or_status
    def assess_transfer_speed(
        self,
        toGUN: str,
        fromGUN: str | None = None,
        data: Any = None,
        number: int = 10,
        timeout: float = 20,
        plot: bool = False,
    ) -> Any:
        """Measure how fast data travels between two executors, forth and back.

        Each of *number* transfers is a call with the data that returns the data, as any user's call would take it over
        the links between the two; its time begins and ends with the value in the sender's hands. So pickling is in it;
        the pages of an array that arrives in shared memory count from when they are read, which this does not do. A
        receiver that is at work answers when it is done, and the time until then is in it too.

        Parameters
          1. toGUN (str): grid unique name of the executor to send to
          2. fromGUN (None, str): grid unique name of the executor that sends and measures; None: this one
          3. data (object): what is sent; None measures the bare call
          4. number (int): how many transfers to time
          5. timeout (number): seconds for each transfer
          6. plot (bool): whether to draw the times into a figure of matplotlib, and, where there is a screen, show it

        Returns
          1. assessment (list, Collections.SoftgridStatus): three ``Collections.TransferSpeed``: 'forth', 'back', and
             'forth and back', each with the time of every transfer (``times_s``), their median (``median_s``), the size
             of the data as it travels (``size``) and the speed (``bytes_per_s``), and each printed as one line; or a
             failed status: a parameter, an executor that is gone or nowhere, data that cannot travel, the timeout

        Blocks until all transfers are done; at most the timeout of each.

        >>> forth, back, both = orchestrator.assess_transfer_speed(orchestrator.workers[0], data='x' * 10**6)
        >>> forth.direction, forth.size > 10**6, len(back.times_s)
        ('forth', True, 10)
        """
        if plot:
            canvas.check_can_draw()
        speeds = speed.assess(self._node, toGUN, fromGUN, data, number, timeout)
        if plot and isinstance(speeds, list):
            _show(speeds)
        return speeds

    def visualize_grid(self, *args: Any, **kwargs: Any) -> Any:
        """Draw the grid as this executor sees it: its own way up to the orchestrator, and everybody below it.

        Parameters are those of ``Collections.GridGraph.draw_graph``; returned is what it returns, the figure. Asks the
        executors for their bridges and blocks until they have answered, at most ``get_small_transfer_wait_timeout()``;
        bridges of those that do not answer are missing.

        >>> figure = orchestrator.visualize_grid(labelsFormat='${role}', show=False)
        >>> figure.axes[0].texts[0].get_text()
        'orchestrator'
        """
        names = [self.gridUniqueName, *(member.name for member in self._node.tree.below())]
        told = self._node.bridges_of(names, self.get_small_transfer_wait_timeout())
        bridges = [bridge for each in told if isinstance(each, list) for bridge in each]
        return GridGraph(*view_from(self._node.tree, bridges)).draw_graph(*args, **kwargs)

    def _reflect(self, data: Any) -> Any:
        """What the receiver of an assessment does."""
        return speed.reflect(data)

    def _clock(self) -> str:
        """Which clock the receiver of an assessment reads."""
        return speed.clock()


def _show(speeds: list[speed.TransferSpeed]) -> None:
    from softgrid._insight.speed_plot import draw_speed

    figure = draw_speed(speeds)
    if canvas.has_screen(figure):
        canvas.show(figure, wait=not Globals.INTERACTIVE_MODE)
