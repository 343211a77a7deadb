"""GridGraph: a grid as a picture of nodes and lines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from softgrid import Globals
from softgrid._insight import canvas

Pairs = Iterable[tuple[str, str]]


class GridGraph:
    """Executors, who stands under whom, and which bridges shorten the way.

    Parameters
      1. executors (list): grid unique names
      2. connections (list): pairs (upgrid, downgrid) of these names
      3. bridges (list): pairs of these names, in any order

    ``visualize_grid`` of an executor makes one of what the executor sees.

    >>> from softgrid.Collections import GridGraph
    >>> top, below = 'orchestrator|O@10.0.0.7[1]:5000', 'worker|W@10.0.0.7[2]:5001'
    >>> GridGraph([top, below], [(top, below)])
    <GridGraph of 2 executors>
    """

    def __init__(self, executors: Iterable[str], connections: Pairs = (), bridges: Pairs = ()) -> None:
        self.executors = list(executors)
        self.connections = list(connections)
        self.bridges = list(bridges)

    def __repr__(self) -> str:
        return f"<GridGraph of {len(self.executors)} executors>"

    def draw_graph(
        self,
        labelsFormat: str = "${role}\n${pid}",
        title: str | None = None,
        axes: Any = None,
        show: bool | None = None,
    ) -> Any:
        """Draw the grid: executors as discs in the colour of their role (orchestrator red, router green, manager blue,
        worker yellow), connections as solid black lines, bridges as dotted red ones.

        Parameters
          1. labelsFormat (str): what is written to each executor: a ``string.Template`` that may use ${role}, ${name},
             ${address}, ${pid} and ${port}; '' for nothing
          2. title (None, str): written above
          3. axes (None, matplotlib.axes.Axes): where to draw; None: into a figure of its own, as large as it must be to
             be read, at most 15 by 15 inches
          4. show (None, bool): whether to open a window, and, in a script, wait until it is closed; None: where there
             is a screen, unless axes are given

        Returns
          1. figure (matplotlib.figure.Figure): the picture, to be saved or changed

        Raises ValueError (BadArgument) for a format that uses other fields or connections that are no tree, and
        NotInstalled without matplotlib (``pip install 'softgrid[plot]'``).

        >>> from softgrid.Collections import GridGraph
        >>> figure = GridGraph(['orchestrator|O@10.0.0.7[1]:5000']).draw_graph(labelsFormat='${name}', show=False)
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['O']
        """
        from softgrid._insight.graph import draw_graph  # what nothing else needs is loaded when a grid is drawn

        figure = draw_graph(
            self.executors, self.connections, self.bridges, labels_format=labelsFormat, title=title, axes=axes
        )
        if show or (show is None and axes is None and canvas.has_screen(figure)):
            canvas.show(figure, wait=not Globals.INTERACTIVE_MODE)
        return figure
