"""Where pictures are drawn: figures that pyplot knows where it can show them, and bare ones elsewhere.

The one place that imports pyplot.
"""

from __future__ import annotations

import threading
from typing import Any

from softgrid._model.errors import NotInstalled


def check_can_draw() -> None:
    """Raise NotInstalled without matplotlib, before anything is measured only to be drawn."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise NotInstalled("drawing needs matplotlib, which is not installed: pip install 'softgrid[plot]'") from error


def new_figure(size: tuple[float, float]) -> Any:
    """Give an empty white figure of that many inches."""
    check_can_draw()
    from matplotlib import pyplot
    from matplotlib.figure import Figure

    if threading.current_thread() is threading.main_thread():
        try:
            figure = pyplot.figure(figsize=size, facecolor="white")
            if "inline" in pyplot.get_backend():
                figure._ipython_display_ = lambda: _display_once(figure)
            return figure
        except (ImportError, RuntimeError):  # a backend was asked for that has no screen
            pass
    return Figure(figsize=size, facecolor="white")


def has_screen(figure: Any) -> bool:
    """Whether the figure's backend opens windows."""
    return getattr(figure.canvas, "required_interactive_framework", None) is not None


def show(figure: Any, *, wait: bool) -> None:
    """Open the windows of a figure that has a screen; with *wait* until the user has closed them."""
    from matplotlib import pyplot

    if wait:
        pyplot.show()
    else:
        figure.show()


def _display_once(figure: Any) -> None:
    """Show a figure that is the value of a notebook's cell, and not once more when the cell has ended."""
    from IPython.display import display
    from matplotlib import pyplot

    del figure._ipython_display_
    pyplot.close(figure)
    display(figure)
