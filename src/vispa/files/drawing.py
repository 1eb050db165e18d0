"""Drawings written to PNG or SVG files.

Matplotlib is only needed here and loaded when something is drawn. The same numbers give the same
bytes: files carry no date, and nothing of the user's own matplotlib settings enters. Names come
from the user; none of them is read as a formula.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vispa.errors import InputError
from vispa.files.visible import visible_text
from vispa.files.writing import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: File types that drawings can be written in.
FORMATS = ("png", "svg")

_SETTINGS: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 9,
    # Text stays text, which can be searched and read aloud, and a dollar sign stays one.
    "svg.fonttype": "none",
    "text.parse_math": False,
    # Names of the SVG's elements are drawn from it instead of from chance.
    "svg.hashsalt": "vispa",
}
# What each file type's metadata must leave out to be the same every time.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": dict.fromkeys(("Creator", "Date", "Format", "Type")),
}
# How matplotlib begins to say that its own fonts lack a character, or the way a script is written.
_NO_FONT = r"Glyph .* missing from|Matplotlib currently does not support"


def require_matplotlib() -> None:
    """Refuse to go on without matplotlib.

    Raises:
        InputError: it is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise InputError("figures", "need the package matplotlib.", "Install matplotlib, or ask for none.") from error


@contextmanager
def drawing(path: Path, width: float, height: float, settings: Mapping[str, Any] | None = None) -> Iterator[Figure]:
    """An empty figure, written to `path` when the block ends without an error.

    Args:
        path: of the file; its suffix, one of `FORMATS`, tells the type.
        width: in inches.
        height: in inches.
        settings: matplotlib's, beside those that every drawing has.

    Raises:
        InputError: another suffix, matplotlib is missing, or the folder cannot be written to.
    """
    suffix = path.suffix.removeprefix(".").lower()
    if suffix not in FORMATS:
        raise InputError(str(path), "is not a figure's name.", f"End it with {' or '.join('.' + f for f in FORMATS)}.")
    require_matplotlib()
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(["default", {**_SETTINGS, **(settings or {})}]):
        # Without pyplot: no window, no global list of figures. Saving chooses the type's own canvas.
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        _show_hidden_characters(figure)
        with replacing(path) as temporary, warnings.catch_warnings():
            # Matplotlib only measures the text of an SVG: who reads the file has fonts of his own.
            if suffix == "svg":
                warnings.filterwarnings("ignore", _NO_FONT, UserWarning)
            figure.savefig(temporary, format=suffix, dpi=150, metadata=_METADATA[suffix])


def _show_hidden_characters(figure: Figure) -> None:
    """Write out what cannot be seen: an escape sequence in a name would make the file no SVG."""
    from matplotlib.text import Text
    from matplotlib.ticker import FuncFormatter

    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        made = axis.get_major_formatter()
        # Labels of ticks that were given are made anew when the figure is drawn.
        if isinstance(made, FuncFormatter):
            axis.set_major_formatter(FuncFormatter(lambda value, place, made=made: visible_text(made(value, place))))
    for text in figure.findobj(Text):
        shown = visible_text(text.get_text())
        if shown != text.get_text():
            text.set_text(shown)
