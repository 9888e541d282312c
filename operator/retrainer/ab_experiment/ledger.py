"""The ledger: an append-only list of lines in a ConfigMap, and the state they add up to.

Its data: `header` (fixed at the start), `lines` (the latest, one compact JSON object each), `checkpoint` (the
state before the first of them), `state` (the state after the last), `digest` over the four. `state` saves a
replay at every pass; that it equals header + checkpoint + lines, bit for bit, is what `replay` proves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from retrainer.ab_experiment.config import ENGINE, ExperimentConfig, configure, spec_digest
from retrainer.ab_experiment.state import AlteredLedger, Line, State, advance, from_json, to_json
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.plan import Object

KEPT_LINES = 200
"""Older lines are folded into the checkpoint, which loses their text but nothing that later lines need."""

_PARTS = ("header", "checkpoint", "lines", "state")


@dataclass(frozen=True)
class Ledger:
    """A ledger in memory: texts as they are stored, and what they mean."""

    header: str
    checkpoint: str
    lines: tuple[str, ...]
    state: State
    config: ExperimentConfig

    @property
    def start(self) -> str:
        """When the experiment started (RFC 3339)."""
        return str(json.loads(self.header)["startTime"])

    @property
    def data(self) -> dict[str, str]:
        """The ConfigMap's data."""
        parts = {
            "header": self.header,
            "checkpoint": self.checkpoint,
            "lines": "\n".join(self.lines),
            "state": compact(to_json(self.state)),
        }
        return {**parts, "digest": _digest(parts)}


def begin(spec: ABExperimentSpec, rates: Mapping[str, float], start: str) -> Ledger:
    """An empty ledger; raises ValueError where the spec cannot be carried out."""
    config = configure(spec, rates)
    header = {
        "engine": ENGINE,
        "specDigest": spec_digest(spec),
        "startTime": start,
        "rates": {m.name: m.rate for m in config.metrics},
        "plan": {"unitsNeeded": config.units_needed},
    }
    return Ledger(compact(header), compact(to_json(State())), (), State(), config)


def append(ledger: Ledger, line: Line) -> Ledger:
    """With one more line, and the oldest folded away where there are too many.

    The state is advanced by the line as it will be read back, so that a replay cannot differ.
    """
    text = compact(line)
    state = advance(ledger.config, ledger.state, json.loads(text))
    ledger = replace(ledger, lines=(*ledger.lines, text), state=state)
    return _fold_oldest(ledger) if len(ledger.lines) > KEPT_LINES else ledger


def _fold_oldest(ledger: Ledger) -> Ledger:
    before = from_json(json.loads(ledger.checkpoint))
    after = advance(ledger.config, before, json.loads(ledger.lines[0]))
    return replace(ledger, checkpoint=compact(to_json(after)), lines=ledger.lines[1:])


def load(config_map: Object, spec: ABExperimentSpec) -> Ledger:
    """The ledger in a ConfigMap; raises AlteredLedger unless it is exactly one that we wrote for this spec."""
    data = config_map.get("data") or {}
    if any(part not in data for part in (*_PARTS, "digest")):
        raise AlteredLedger("a part of the ledger is missing")
    if data["digest"] != _digest(data):
        raise AlteredLedger("the ledger was edited: its digest does not fit")
    header = _parsed(data["header"])
    if header.get("engine") != ENGINE:
        raise AlteredLedger(f"the ledger was written by engine {header.get('engine')}, this is {ENGINE}")
    if header.get("specDigest") != spec_digest(spec):
        raise AlteredLedger("the ledger belongs to another spec")
    return Ledger(
        header=data["header"],
        checkpoint=data["checkpoint"],
        lines=tuple(line for line in data["lines"].split("\n") if line),
        state=from_json(_parsed(data["state"])),
        config=configure(spec, header["rates"]),
    )


def replay(ledger: Ledger) -> State:
    """The state that checkpoint and lines add up to; raises AlteredLedger where they do not fit together."""
    state = from_json(_parsed(ledger.checkpoint))
    for text in ledger.lines:
        state = advance(ledger.config, state, _parsed(text))
    return state


def compact(value: Any) -> str:
    """JSON without spaces; NaN and infinity are refused with ValueError."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def _parsed(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise AlteredLedger("a part of the ledger is not JSON") from error
    if not isinstance(value, dict):
        raise AlteredLedger("a part of the ledger is not a JSON object")
    return value


def _digest(data: Mapping[str, str]) -> str:
    content = "\x00".join(data[part] for part in _PARTS)
    return hashlib.sha256(content.encode()).hexdigest()
