"""The ledger: an append-only list of lines in a ConfigMap, and the state they add up to.

Its data: `header` (fixed at the start), `lines` (the latest, one compact JSON object each), `checkpoint` (the
state before the first of them), `state` (the state after the last), `digest` (of header, checkpoint and state).
Lines are a chain: each names its number and the hash of the line before, the first that of the header. Checkpoint
and state name the number of lines before them and the hash of the last of these, so that the chain goes on where
older lines are folded away. `state` saves a replay at every pass; that it equals header + checkpoint + lines, bit
for bit, is what `replay` proves.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

from retrainer.ab_experiment.config import ENGINE, ExperimentConfig, configure, spec_digest, unit_of
from retrainer.ab_experiment.state import AlteredLedger, Line, State, advance, from_json, seconds, to_json
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.plan import Object
from retrainer.statistics.metric import MetricPlan, MetricState
from retrainer.statistics.verdicts import engine

KEPT_LINES = 200
KEPT_BYTES = 384 * 1024
"""Older lines are folded into the checkpoint, which loses their text but nothing that later lines need."""

_PARTS = ("header", "checkpoint", "lines", "state", "digest")
_SEALED = ("header", "checkpoint", "state")
_LINK = re.compile(r'\{"line":(?P<number>\d+),"previous":"(?P<previous>[0-9a-f]{64})",')


@dataclass(frozen=True)
class Place:
    """A place in the chain: how many lines come before it, and the hash of the last of them."""

    lines: int
    hash: str

    def after(self, text: str) -> Place:
        """The place after one more line."""
        return Place(self.lines + 1, _hash(text))

    def link(self, line: Line) -> str:
        """The line as it is written here."""
        return compact({"line": self.lines, "previous": self.hash, **line})


@dataclass(frozen=True)
class Ledger:
    """A ledger in memory: texts as they are stored, and what they mean. `end` is the place after the last line."""

    header: str
    checkpoint: str
    lines: tuple[str, ...]
    end: Place
    state: State
    config: ExperimentConfig

    @property
    def start(self) -> str:
        """When the experiment started (RFC 3339)."""
        return str(json.loads(self.header)["startTime"])

    @property
    def data(self) -> dict[str, str]:
        """The ConfigMap's data."""
        state = _placed(self.end, self.state)
        sealed = {"header": self.header, "checkpoint": self.checkpoint, "state": state}
        return {**sealed, "lines": "\n".join(self.lines), "digest": _seal(sealed)}


def begin(
    spec: ABExperimentSpec,
    rates: Mapping[str, float],
    start: str,
    variances: Mapping[str, float] | None = None,
    salt: str | None = None,
) -> Ledger:
    """An empty ledger, with what is known of the metrics before the start; raises ValueError where the spec cannot
    be carried out."""
    config = configure(spec, rates, variances)
    header = compact(
        {
            "engine": ENGINE,
            "specDigest": spec_digest(spec),
            "startTime": start,
            "mode": spec.mode,
            "unit": unit_of(spec),
            "salt": salt,
            "metrics": {m.name: _planned(m) for m in config.metrics},
            "plan": {
                "unitsNeeded": config.units_needed,
                "steps": [[s.weight, s.minimum_units] for s in config.steps],
                "settleSeconds": config.settle_seconds,
            },
        }
    )
    place = Place(0, _hash(header))
    return Ledger(header, _placed(place, State()), (), place, State(), config)


def _planned(metric: MetricPlan) -> dict[str, Any]:
    return {
        "scale": metric.scale,
        "engine": engine(metric, MetricState()),
        "effect": metric.effect,
        "rate": metric.rate,
        "variance": metric.variance,
        "alpha": metric.alpha,
        "alphaWorse": metric.alpha_worse,
    }


def append(ledger: Ledger, line: Line) -> Ledger:
    """With one more line, and the oldest folded away where there are too many.

    The state is advanced by the line as it will be read back, so that a replay cannot differ. Raises AlteredLedger
    where the line cannot follow.
    """
    text = ledger.end.link(line)
    return _with(ledger, text, _followed(ledger.config, ledger.state, text))


def append_judged(ledger: Ledger, line: Line, comment: Callable[[State], Line]) -> Ledger:
    """`append`, where what the line says beside its sums is told by the state that they lead to: the state does not
    depend on it, and is worked out once."""
    state = _followed(ledger.config, ledger.state, compact(line))
    return _with(ledger, ledger.end.link({**line, **comment(state)}), state)


def _with(ledger: Ledger, text: str, state: State) -> Ledger:
    ledger = replace(ledger, lines=(*ledger.lines, text), end=ledger.end.after(text), state=state)
    while len(ledger.lines) > KEPT_LINES or (len(ledger.lines) > 1 and sum(map(len, ledger.lines)) > KEPT_BYTES):
        ledger = _fold_oldest(ledger)
    return ledger


def load(config_map: Object, spec: ABExperimentSpec) -> Ledger:
    """The ledger in a ConfigMap; raises AlteredLedger, which says in what, unless it is exactly one that we wrote
    for this spec."""
    data = config_map.get("data") or {}
    missing = [part for part in _PARTS if part not in data]
    if missing:
        raise AlteredLedger(f"its {missing[0]} is missing")
    return _load(tuple(data[part] for part in _PARTS), spec)


@lru_cache(maxsize=8)
def _load(parts: tuple[str, ...], spec: ABExperimentSpec) -> Ledger:
    """Remembered, for every pass asks twice, and mostly about a ledger that has not changed since the last one."""
    data = dict(zip(_PARTS, parts, strict=True))
    _verify_seal(data)
    header = _parsed("header", data["header"])
    if header.get("engine") != ENGINE:
        raise AlteredLedger(f"it was written by engine {header.get('engine')}, this is {ENGINE}")
    if header.get("specDigest") != spec_digest(spec):
        raise AlteredLedger("it belongs to another spec")
    begins, _ = _unplaced("checkpoint", data["checkpoint"])
    ends, state = _unplaced("state", data["state"])
    lines = tuple(data["lines"].split("\n")) if data["lines"] else ()
    _verify_chain(begins, lines, ends)
    return Ledger(data["header"], data["checkpoint"], lines, ends, state(), _configured(spec, header))


def _configured(spec: ABExperimentSpec, header: Mapping[str, Any]) -> ExperimentConfig:
    try:
        metrics = header["metrics"]
        rates = {name: metric["rate"] for name, metric in metrics.items()}
        variances = {name: metric["variance"] for name, metric in metrics.items() if metric["variance"] is not None}
        return configure(spec, rates, variances)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AlteredLedger(f"its header cannot be read: {type(error).__name__}") from error


def _verify_seal(data: Mapping[str, str]) -> None:
    if data["digest"] == _seal(data):
        return
    digests = _parsed("digest", data["digest"])
    edited = [part for part in _SEALED if digests.get(part) != _hash(data[part])]
    if not edited or set(digests) != set(_SEALED):
        raise AlteredLedger("its digest was edited")
    raise AlteredLedger(f"its {' and '.join(edited)} (or the digest of it) was edited")


def _seal(data: Mapping[str, str]) -> str:
    return compact({part: _hash(data[part]) for part in _SEALED})


def _verify_chain(place: Place, lines: tuple[str, ...], end: Place) -> None:
    """Each line must name its number and the line before; the last one must be the one that the state follows."""
    for text in lines:
        if not text.startswith(f'{{"line":{place.lines},"previous":"{place.hash}",'):
            raise AlteredLedger(_broken_link(place, text))
        place = place.after(text)
    if place.lines < end.lines:
        raise AlteredLedger(f"its last lines are missing, from line {place.lines} on")
    if place.lines > end.lines:
        raise AlteredLedger(f"lines were added, from line {end.lines} on")
    if place.hash != end.hash:
        raise AlteredLedger(f"line {place.lines - 1}, the last, was edited")


def _broken_link(place: Place, text: str) -> str:
    link = _LINK.match(text)
    if link is None:
        return f"line {place.lines} cannot be read"
    number = int(link["number"])
    if number > place.lines:
        return f"lines are missing: line {number} stands where line {place.lines} should"
    if number < place.lines:
        return f"lines were inserted or moved: line {number} stands where line {place.lines} should"
    return f"line {number - 1} was edited, or line {number}, which names it by its hash"


def replay(ledger: Ledger) -> State:
    """The state that checkpoint and lines add up to; raises AlteredLedger where they do not fit together."""
    state = _unplaced("checkpoint", ledger.checkpoint)[1]()
    for text in ledger.lines:
        state = _followed(ledger.config, state, text)
    return state


def _fold_oldest(ledger: Ledger) -> Ledger:
    place, before = _unplaced("checkpoint", ledger.checkpoint)
    oldest = ledger.lines[0]
    after = _followed(ledger.config, before(), oldest)
    return replace(ledger, checkpoint=_placed(place.after(oldest), after), lines=ledger.lines[1:])


def _followed(config: ExperimentConfig, before: State, text: str) -> State:
    """The state after one more line; the order of lines is that of time."""
    line = _parsed("line", text)
    after = advance(config, before, line)
    if seconds(line["at"]) < before.at:
        raise AlteredLedger(f"line {line.get('line')} is dated before the line that it follows")
    return after


def _placed(place: Place, state: State) -> str:
    return compact({"lines": place.lines, "hash": place.hash, "state": to_json(state)})


def _unplaced(part: str, text: str) -> tuple[Place, Callable[[], State]]:
    """The place, and how to get the state; the checkpoint's is needed only when a line is folded away."""
    content = _parsed(part, text)
    lines, hash_ = content.get("lines"), content.get("hash")
    if not isinstance(lines, int) or not isinstance(hash_, str) or "state" not in content:
        raise AlteredLedger(f"its {part} does not name its place")
    return Place(lines, hash_), partial(from_json, content["state"])


def compact(value: Any) -> str:
    """JSON without spaces; NaN and infinity are refused with ValueError."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def _parsed(part: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AlteredLedger(f"its {part} is not JSON") from error
    if not isinstance(value, dict):
        raise AlteredLedger(f"its {part} is not a JSON object")
    return value


def _hash(text: str) -> str:
    # A hand edit may hold half a character, which no text of ours does.
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
