"""The picture at the end: the candidate's share of the traffic, and the effect with its interval, over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from demo.record import Record, Sample

_CANDIDATE = "#1b6ca8"
_BASELINE = "#c9d3dc"
_GOOD, _BAD, _NEUTRAL = "#2a7f3f", "#b3392f", "#6b7280"
_VERDICT_COLOURS = {"PromoteCandidate": _GOOD, "KeepBaseline": _BAD, "Inconclusive": _NEUTRAL}
_INK = "#374151"
_LEAST_SPAN = 20.0
_ROOM = 15.0
"""Percentage points above and below."""
_SETTINGS: Any = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}


@dataclass(frozen=True)
class Caption:
    """What the picture says in words."""

    title: str
    verdict: str
    """PromoteCandidate, KeepBaseline, Inconclusive, or empty where there was no experiment."""
    sentence: str
    minimum_effect: float
    """The smallest effect worth promoting for."""


def draw(path: Path, record: Record, caption: Caption) -> None:
    """Write the PNG; with no samples it says so instead of showing empty axes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with pyplot.rc_context(_SETTINGS):
        figure, (top, bottom) = pyplot.subplots(
            2, 1, sharex=True, figsize=(10, 6.2), height_ratios=(2, 3), layout="constrained"
        )
        figure.suptitle(caption.title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        begin, end = span(record)
        _draw_share(top, record.samples, end)
        _draw_effect(bottom, record.samples, end, caption)
        _draw_moments((top, bottom), record, begin, end)
        figure.legend(loc="outside lower center", frameon=False, ncols=5, fontsize=9)
        bottom.set_xlim(begin, end)
        bottom.set_xlabel("seconds since the start")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
        pyplot.close(figure)


def span(record: Record) -> tuple[float, float]:
    """First and last second of the picture: the experiment, with a little room on both sides."""
    seconds = [s.seconds for s in record.samples] or list(record.milestones.values()) or [0.0]
    begin, end = min(seconds) - 2.0, max(seconds) + 2.0
    return begin, max(end, begin + _LEAST_SPAN)


def _draw_share(axes: Any, samples: Sequence[Sample], end: float) -> None:
    times = [s.seconds for s in samples] + [end]
    weights = [s.weight for s in samples] + [samples[-1].weight if samples else 0]
    axes.fill_between(times, 100, step="post", color=_BASELINE, alpha=0.55, linewidth=0, label="champion")
    axes.fill_between(times, weights, step="post", color=_CANDIDATE, alpha=0.85, linewidth=0, label="candidate")
    for seconds, weight in steps(samples):
        full = weight > _FULL
        axes.annotate(
            f"{weight} %", (seconds, weight), (4, -5 if full else 4), textcoords="offset points", fontsize=10,
            fontweight="bold", color="white" if full else _INK, va="top" if full else "bottom",
        )  # fmt: skip
    axes.set_ylim(0, 100)
    axes.set_yticks([0, 25, 50, 75, 100])
    axes.set_ylabel("share of the traffic, %")


_FULL = 85
"""Above this a word no longer fits over the area."""


def steps(samples: Sequence[Sample]) -> list[tuple[float, int]]:
    """(seconds, per cent) of each rise of the candidate's share."""
    before = 0
    found = []
    for s in samples:
        if s.weight > before:
            found.append((s.seconds, s.weight))
        before = s.weight
    return found


def _draw_effect(axes: Any, samples: Sequence[Sample], end: float, caption: Caption) -> None:
    known = [s for s in samples if s.estimate is not None and s.lower is not None and s.upper is not None]
    axes.axhline(0, color="black", linewidth=1)
    smallest = 100 * caption.minimum_effect
    words = "smallest effect worth promoting for"
    axes.axhline(smallest, color=_NEUTRAL, linewidth=1, linestyle=(0, (4, 3)), label=words)
    if known:
        known.append(replace(known[-1], seconds=end))
        times = [s.seconds for s in known]
        lower, upper = [100 * (s.lower or 0.0) for s in known], [100 * (s.upper or 0.0) for s in known]
        estimates = [100 * (s.estimate or 0.0) for s in known]
        valid = "interval, valid at every look"
        axes.fill_between(times, lower, upper, step="post", color=_CANDIDATE, alpha=0.18, linewidth=0, label=valid)
        axes.step(times, estimates, where="post", color=_CANDIDATE, linewidth=2, label="estimate")
        axes.set_ylim(*effect_limits(known))
    axes.set_ylabel("like rate: candidate − champion,\npercentage points")
    colour = _VERDICT_COLOURS.get(caption.verdict, _NEUTRAL)
    axes.set_title(caption.sentence, loc="left", color=colour, fontsize=11, fontweight="bold")


def effect_limits(samples: Sequence[Sample]) -> tuple[float, float]:
    """Limits of the axis in percentage points: all estimates, and the interval as it was in the end.

    The first intervals are as wide as the axis is long; they may leave the picture.
    """
    last, estimates = samples[-1], [s.estimate or 0.0 for s in samples]
    low = min(0.0, last.lower or 0.0, *estimates)
    high = max(0.0, last.upper or 0.0, *estimates)
    return max(-100.0, 100 * low - _ROOM), min(100.0, 100 * high + _ROOM)


_MOMENTS = {"decision/": "verdict", "retired/": "old one retired"}


def _draw_moments(both: tuple[Any, Any], record: Record, begin: float, end: float) -> None:
    for key, seconds in record.milestones.items():
        word = next((w for beginning, w in _MOMENTS.items() if key.startswith(beginning)), None)
        if word is None or not begin <= seconds <= end:
            continue
        for axes in both:
            axes.axvline(seconds, color=_INK, linewidth=0.9, linestyle=":")
        both[0].annotate(
            word, (seconds, 1.0), (0, 3), xycoords=("data", "axes fraction"), textcoords="offset points",
            fontsize=9, color=_INK, ha="center", annotation_clip=False,
        )  # fmt: skip
