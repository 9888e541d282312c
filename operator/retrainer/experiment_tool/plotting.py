"""Draws a picture as PNG. matplotlib is imported only when something is drawn."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from retrainer.experiment_tool.failure import InputError, MissingLibrary
from retrainer.experiment_tool.picture import Band, Picture

EXTRA = "plot"
"""Extra of this distribution with what is needed here; the operator's image does not have it."""

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"
"""Okabe & Ito's palette: told apart with any kind of colour blindness."""
_WIDTH = 9.0
_FIRST, _OTHER, _SMALL = 3.0, 1.9, 1.2
"""Heights of the primary metric, of each guardrail, and of weights and units, in inches."""
_TITLE = 0.75
"""Height of title and subtitle."""
_DPI = 130


def draw(picture: Picture, path: str) -> None:
    """Write the picture; raises MissingLibrary without matplotlib, InputError where the file cannot be written."""
    figure, axes = _figure(picture)
    for number, (band, axis) in enumerate(zip(picture.bands, axes, strict=False)):
        _draw_band(axis, band)
        _finish(axis, picture, band.heading, with_legend=4 if number == 0 else 1)
    _draw_weights(axes[-2], picture)
    _finish(axes[-2], picture, "candidate's share of the traffic", with_legend=0)
    _draw_units(axes[-1], picture)
    _finish(axes[-1], picture, "units, both arms", with_legend=2)
    axes[-1].set_xlabel(f"{picture.unit} since the first window")
    try:
        figure.savefig(path, dpi=_DPI, format="png")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {(error.strerror or 'error').lower()}") from error


def _figure(picture: Picture) -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise MissingLibrary(f"plot needs matplotlib; install it with: pip install 'retrainer[{EXTRA}]'") from error
    heights = [_FIRST, *[_OTHER] * (len(picture.bands) - 1), _SMALL, _SMALL]
    height = sum(heights) + _TITLE + 0.5
    # Not through pyplot: it would look for a display and keep the figure for ever.
    layout = ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - _TITLE / height))
    figure = Figure(figsize=(_WIDTH, height), layout=layout)
    FigureCanvasAgg(figure)
    title, subtitle = _fitting(14, picture.title, 68), _fitting(10, picture.subtitle, 105)
    figure.text(0.01, 1 - 0.12 / height, picture.title, va="top", fontsize=title, fontweight="bold")
    figure.text(0.01, 1 - 0.42 / height, picture.subtitle, va="top", fontsize=subtitle, color=GREY)
    axes = figure.subplots(len(heights), 1, sharex=True, gridspec_kw={"height_ratios": heights})
    return figure, axes


def _fitting(size: float, text: str, length: int) -> float:
    """The size of letters at which a text that is longer than `length` still fits."""
    return size * min(1.0, length / len(text))


def _draw_band(axis: Any, band: Band) -> None:
    axis.axhline(0, color="black", linewidth=1)
    axis.axhline(band.bar, color=ORANGE, linewidth=1.3, linestyle=(0, (5, 3)), label=band.bar_label)
    axis.plot(band.times, _filled(band.estimate, math.nan), color=BLUE, linewidth=1.8, label="effect")
    lower, upper = _filled(band.lower, band.low), _filled(band.upper, band.high)
    axis.fill_between(band.times, lower, upper, color=BLUE, alpha=0.18, linewidth=0, label="interval")
    axis.set_ylim(band.low, band.high)
    axis.yaxis.set_major_formatter(lambda value, _: band.shown(round(value, 9)))


def _filled(values: tuple[float | None, ...], unknown: float) -> list[float]:
    return [unknown if value is None else value for value in values]


def _draw_weights(axis: Any, picture: Picture) -> None:
    for start, end, weight in picture.weights:
        axis.fill_between([start, end], 0, weight, color=GREEN, alpha=0.3, linewidth=0)
        axis.plot([start, end], [weight, weight], color=GREEN, linewidth=1.8, solid_capstyle="butt")
    axis.set_ylim(0, max(60, *(weight + 10 for _, _, weight in picture.weights)))
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")


def _draw_units(axis: Any, picture: Picture) -> None:
    axis.plot(picture.times, picture.units, color=GREY, linewidth=1.8, label="counted")
    axis.axhline(picture.units_needed, color=ORANGE, linewidth=1.3, linestyle=(0, (1, 2)), label="planned")
    axis.set_ylim(0, 1.15 * max(picture.units_needed, picture.units[-1]))
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def _finish(axis: Any, picture: Picture, heading: str, *, with_legend: int) -> None:
    """Heading and legend stand above the axis, so that they cover no data."""
    if picture.decided is not None:
        axis.axvline(picture.decided, color=GREY, linewidth=1.2, linestyle=(0, (1, 1)), label="verdict")
    axis.set_title(heading, loc="left", fontsize=9.5)
    if with_legend:
        handles, labels = axis.get_legend_handles_labels()
        axis.legend(
            handles[:with_legend],
            labels[:with_legend],
            loc="lower right",
            bbox_to_anchor=(1, 1),
            borderaxespad=0.2,
            ncols=with_legend,
            fontsize=8.5,
            frameon=False,
        )
    axis.margins(x=0.01)
    axis.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def default_path(name: str) -> str:
    """Where a plot goes if nobody says: beside the caller."""
    return str(Path(f"{name}.png"))
