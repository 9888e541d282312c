"""One window's counts per arm: which questions to ask the server, and what to make of the answers.

Everything outside is handed in (`ask`, the present time), so that this can be tested without a server. The usual
window costs one question per selector; only series without a sample before the window, and arms without one after
it, cost more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from retrainer.feedback.errors import SchemaMismatch, Unreachable, nearest_name
from retrainer.prometheus.counters import History, Series, Span, increase, needs_history, patience

Ask = Callable[[str, float], Sequence[Series]]
"""An instant query at a time. Raises errors of `retrainer.feedback.errors`."""

_HISTORY_SECONDS = 86_400.0
"""How far before the experiment a series is looked for to tell a new one from one that was not scraped."""
_HORIZON_SECONDS = 300.0
"""Samples up to this long after a window's end are read at once."""
_WHOLE = 1e-6


@dataclass(frozen=True)
class CountsQuery:
    """What to count in which window. `arms` are (name, values of `label` that mean it); `since` the experiment's start.

    Times are seconds since the epoch.
    """

    query: str
    units_query: str | None
    label: str
    arms: tuple[tuple[str, tuple[str, ...]], ...]
    span: Span
    since: float


@dataclass(frozen=True)
class ArmCounts:
    """What one arm's counters rose by; `units` is None without `units_query`."""

    events: int
    units: int | None


Counts = Mapping[str, ArmCounts]
"""By arm."""


@dataclass(frozen=True)
class NotYet:
    """The window's last samples have not arrived; ask again."""


def read_counts(query: CountsQuery, ask: Ask, now: float) -> Counts | NotYet:
    """The counts of a window that has ended, once the samples past its end have arrived.

    Raises errors of `retrainer.feedback.errors`, with the remedy, where a server does not answer or does not say
    enough about both arms.
    """
    horizon = min(now, query.span.end + _HORIZON_SECONDS)
    events = _Selector("query", query.query, query, ask, horizon)
    units = None if query.units_query is None else _Selector("unitsQuery", query.units_query, query, ask, horizon)
    if _awaits(events, units, now):
        return NotYet()
    deciding = units or events
    for arm, _ in query.arms:
        if not deciding.is_current(arm) and not deciding.is_alive_since(arm, now):
            raise Unreachable(_absent(deciding, arm, query))
    return {
        arm: ArmCounts(events.count(arm), None if units is None else units.count(arm)) for arm, _ in query.arms
    }


def _awaits(events: _Selector, units: _Selector | None, now: float) -> bool:
    """Whether a later look may find more: a series, or an arm, that has no sample past the window's end yet."""
    end = events.about.span.end
    selectors = [s for s in (events, units) if s is not None]
    every = [series for selector in selectors for series in selector.series]
    enough = patience(every)
    if now >= end + enough:
        return False
    # What had been silent for so long before the end has ended; the others' next sample is still on its way.
    late = any(end - enough < series.last_time < end for series in every)
    return late or any(not (units or events).is_current(arm) for arm, _ in events.about.arms)


class _Selector:
    """The series that one selector matches, by arm."""

    def __init__(self, field: str, text: str, about: CountsQuery, ask: Ask, horizon: float) -> None:
        self.field = field
        self.about = about
        self._text = text
        self._ask = ask
        seconds = max(1, math.ceil(horizon - about.span.earliest))
        found = ask(f"{text}[{seconds}s]", horizon)
        self._names = {value: arm for arm, values in about.arms for value in values}
        self.series = [s for s in found if self._names.get(s.labels.get(about.label, "")) is not None]
        self._history: History | None = None
        self.is_foreign = bool(found) and not self.series
        if found and not any(about.label in s.labels for s in found):
            raise _unlabelled(field, about, found)

    def of(self, arm: str) -> list[Series]:
        """The arm's series."""
        return [s for s in self.series if self._names[s.labels[self.about.label]] == arm]

    def is_current(self, arm: str) -> bool:
        """Whether any series of the arm was seen past the window's end."""
        return any(s.last_time >= self.about.span.end for s in self.of(arm))

    def is_alive_since(self, arm: str, now: float) -> bool:
        """Whether the arm was seen between the window's end and now: then what is missing is counted there."""
        seconds = math.floor(now - self.about.span.end)
        if seconds < _HORIZON_SECONDS:
            return False  # as far as that the samples are known already
        found = self._ask(f"last_over_time({self._text}[{seconds}s])", now)
        return any(self._names.get(s.labels.get(self.about.label, "")) == arm for s in found)

    def count(self, arm: str) -> int:
        """What the arm's counters rose by in the window."""
        span = self.about.span
        history = self._known() if any(needs_history(s, span) for s in self.series) else History({}, True)
        total = math.fsum(increase(s, span, history) for s in self.of(arm))
        if abs(total - round(total)) > _WHOLE * max(1.0, total):
            raise SchemaMismatch(f"{self.field} must count whole things; it rose by a fraction")
        return round(total)

    def _known(self) -> History:
        """The last value of each series before the window; one more question tells a new series from lost memory."""
        if self._history is None:
            start = self.about.span.start
            seconds = math.ceil(max(start - self.about.since, 0.0) + _HISTORY_SECONDS)
            found = self._ask(f"last_over_time({self._text}[{seconds}s])", start)
            remembers = bool(found) or bool(self._ask("count(up)", start))
            self._history = History({s.identity: s.samples[-1].value for s in found}, remembers)
        return self._history


def _unlabelled(field: str, about: CountsQuery, found: Sequence[Series]) -> SchemaMismatch:
    labels = sorted({name for s in found for name in s.labels if name != "__name__"})
    near = nearest_name(about.label, labels)
    hint = f'did you mean "{near}"?' if near else f"they have {', '.join(labels[:12]) or 'none'}"
    return SchemaMismatch(f'armLabel: the series of {field} have no label "{about.label}"; {hint}')


def _absent(selector: _Selector, arm: str, query: CountsQuery) -> str:
    """Why an arm's counts are not known, and what to do."""
    if selector.of(arm):
        return f"{selector.field}: no sample of the {arm} since the window's end; is it still scraped?"
    sentence = f"{selector.field} has no series of the {arm}"
    if selector.is_foreign:
        names = " or ".join(values[0] for _, values in query.arms)
        return (
            f'{sentence}: its label "{query.label}" names neither arm; it must be {names}, a digest, a Service, '
            "or baseline and candidate"
        )
    if query.units_query is None:
        return (
            f"{sentence}: none at all and no events look alike; give unitsQuery as well, or let the application "
            "start the counter at 0"
        )
    return f'{sentence} (label "{query.label}"); it has answered nothing yet, or is not scraped'
