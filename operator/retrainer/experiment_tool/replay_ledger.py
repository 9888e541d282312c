"""`replay --ledger`: a live experiment again, from its ledger; every line must come out as it was written.

The chain of hashes is verified by the operator's own `ledger.load`; then each line is made anew from the state
before it, by the functions that made it in the cluster, and compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from retrainer.ab_experiment.config import spec_digest
from retrainer.ab_experiment.counting import Circumstances, effects_in_words, findings, judge, units_needed, window_line
from retrainer.ab_experiment.input import ArmOutcomes
from retrainer.ab_experiment.ledger import Ledger, Place, append, load, replay
from retrainer.ab_experiment.state import AlteredLedger, State, seconds
from retrainer.ab_experiment.windows import Window
from retrainer.api.v1alpha1.ab_experiment import ExperimentReason as Reason
from retrainer.experiment_tool.documents import name_of, objects_of
from retrainer.experiment_tool.failure import InputError, Refuted
from retrainer.experiment_tool.looks import Look, Verdict
from retrainer.experiment_tool.subjects import Subject
from retrainer.plan import Object
from retrainer.statistics.sums import ArmSums

_MANUAL = frozenset({Reason.MANUAL_PROMOTE.value, Reason.MANUAL_ABORT.value, Reason.LEDGER_LOST.value})
"""Reasons of verdicts that no rule made: there is nothing to reproduce but the evidence."""
_LINK = ("line", "previous")
_LATER = (0.0, 0.001, -1.0)
"""A time in a line was cut to the millisecond, that of a verdict moved to the next second."""


def ledger_in(path: str, subject: Subject) -> Ledger:
    """The ledger in a file, its chain verified; raises Refuted where it was altered, InputError where it is not
    the ledger of this experiment."""
    config_map = _config_map(path, subject)
    _require_same_spec(path, subject, config_map)
    try:
        ledger = load(config_map, subject.spec)
    except AlteredLedger as altered:
        raise Refuted(f"{path}: the ledger was altered: {altered}") from altered
    _require_same_status(path, subject, ledger)
    return ledger


def _config_map(path: str, subject: Subject) -> Object:
    found = [o for o in objects_of(path) if o["kind"] == "ConfigMap" and "header" in (o.get("data") or {})]
    wanted = f"{subject.name}-ledger"
    named = [o for o in found if name_of(o) == wanted] or found
    if len(named) != 1:
        problem = "holds no ledger" if not found else "holds several ledgers"
        raise InputError(f"{path}: {problem}; give the output of kubectl get configmap {wanted} -o yaml")
    return named[0]


def _require_same_spec(path: str, subject: Subject, config_map: Object) -> None:
    try:
        digest = json.loads(config_map["data"]["header"])["specDigest"]
    except (ValueError, KeyError, TypeError):
        return  # `load` says what is wrong with the header
    if digest != spec_digest(subject.spec):
        raise InputError(
            f"{path}: is the ledger of another spec than that of {subject.title}; give the experiment as it is in the "
            f"cluster: kubectl get abexperiment {subject.name} -o yaml"
        )


def _require_same_status(path: str, subject: Subject, ledger: Ledger) -> None:
    """A status beside the spec must tell of the same verdict, and of no more windows."""
    counted = (subject.status.get("windows") or {}).get("count", 0)
    if counted > ledger.state.count:
        raise Refuted(f"{path}: holds {ledger.state.count} windows, the status of {subject.title} tells of {counted}")
    told, decided = subject.status.get("decision"), ledger.state.decision
    if told is not None and decided is not None:
        for field in ("verdict", "reason", "message"):
            if told.get(field) != decided[field]:
                said = f"{field} {decided[field]!r}, the status of {subject.title} {told.get(field)!r}"
                raise Refuted(f"{path}: the ledger says {said}")


def remarks(ledger: Ledger) -> Iterator[str]:
    """What was verified, and what the ledger no longer holds."""
    folded = ledger.end.lines - len(ledger.lines)
    yield f"the chain of {len(ledger.lines)} lines is whole"
    if folded:
        what = "their evidence counts, their windows are not shown"
        yield f"{folded} earlier lines were folded into the checkpoint: {what}"
    decision = ledger.state.decision
    if decision is not None:
        yield f"verdict {decision['verdict']} ({decision['reason']}): {decision['message']}"


def replay_ledger(path: str, ledger: Ledger) -> Iterator[Look]:
    """A look after each window that the ledger still holds, the verdict with the last; raises Refuted at the first
    line that does not come out, byte for byte, as it was written."""
    made = _before_the_lines(ledger)
    waiting: Look | None = None
    for text in ledger.lines:
        line = json.loads(text)
        try:
            made = _again(made, line, text)
        except AlteredLedger as altered:
            raise _refuted(path, line, str(altered)) from altered
        if made.lines[-1] != text:
            raise _refuted(path, line, _difference(line, json.loads(made.lines[-1])))
        if line["kind"] == "window":
            if waiting is not None:
                yield waiting
            waiting = _look(made, line)
    if made.state != ledger.state:
        raise Refuted(f"{path}: the state of the ledger is not what its lines add up to")
    if waiting is not None:
        yield replace(waiting, decision=_verdict(ledger.state))


def _before_the_lines(ledger: Ledger) -> Ledger:
    """The ledger as it was when it ended where the checkpoint stands."""
    empty = replace(ledger, lines=())
    begins = json.loads(ledger.checkpoint)
    return replace(empty, state=replay(empty), end=Place(begins["lines"], begins["hash"]))


def _again(before: Ledger, line: Mapping[str, Any], text: str) -> Ledger:
    """The ledger with the line, made anew from what it is about."""
    if line["kind"] == "window":
        return _window_again(before, line, text)
    if line["kind"] == "decision" and line["reason"] not in _MANUAL:
        _require_same_verdict(before, line)
    return append(replace(before, lines=()), {key: value for key, value in line.items() if key not in _LINK})


def _window_again(before: Ledger, line: Mapping[str, Any], text: str) -> Ledger:
    window = Window(
        number=line["window"],
        start=int(seconds(line["start"])),
        end=int(seconds(line["end"])),
        weight=line["weightPercent"],
        applied=seconds(line["applied"]),
    )
    reading = {
        name: ArmOutcomes(ArmSums.from_json(arms["candidate"]), ArmSums.from_json(arms["baseline"]))
        for name, arms in line["arms"].items()
    }
    for later in _LATER[:2]:
        again, _ = window_line(before, window, reading, _circumstances(line, later))
        made = append(replace(before, lines=()), {**again, "at": line["at"]})
        if made.lines[-1] == text:
            break
    return made


def _refuted(path: str, line: Mapping[str, Any], what: str) -> Refuted:
    return Refuted(f"{path}: line {line.get('line')} ({line.get('kind')}) is not reproduced: {what}")


def _difference(written: Mapping[str, Any], made: Mapping[str, Any]) -> str:
    """The first field that came out otherwise."""
    fields = [key for key in {**written, **made} if written.get(key) != made.get(key)]
    if not fields:
        return "its fields are those that come out, but it is written otherwise"
    first = fields[0]
    return f"{first} is {json.dumps(written.get(first))}, and comes out as {json.dumps(made.get(first))}"


def _require_same_verdict(before: Ledger, line: Mapping[str, Any]) -> None:
    """The rules must say the same of the same evidence, and the message bear its numbers; raises AlteredLedger."""
    said = (line["verdict"], line["reason"])
    looked = [(o.action, o.reason.value) for o in (judge(before, around) for around in _possible(line))]
    if said not in looked:
        raise AlteredLedger(f"it says {' '.join(said)}; the rules say {' '.join(looked[0])}")
    numbers = "; ".join(effects_in_words(before))
    if numbers not in line["message"]:
        raise AlteredLedger(f"its message has other numbers than {numbers}")


def _circumstances(line: Mapping[str, Any], later: float) -> Circumstances:
    return Circumstances(
        now=seconds(line["at"]) + later,
        obstacle=line.get("obstacle"),
        held=line.get("held"),
        readable=line.get("readable", True),
        clock=line.get("clock"),
    )


def _possible(line: Mapping[str, Any]) -> Iterator[Circumstances]:
    """A verdict's line does not keep its circumstances; a source that did not answer matters at the end of time."""
    for later in _LATER:
        for obstacle in (None, "the source cannot be read"):
            yield replace(_circumstances(line, later), obstacle=obstacle, readable=obstacle is None)


def _look(ledger: Ledger, line: Mapping[str, Any]) -> Look:
    return Look(
        window=line["window"],
        start=seconds(line["start"]),
        end=seconds(line["end"]),
        weight_percent=line["weightPercent"],
        findings=findings(ledger),
        split=ledger.state.split,
        units_needed=units_needed(ledger),
        decision=None,
    )


def _verdict(state: State) -> Verdict | None:
    return None if state.decision is None else Verdict(state.decision["verdict"], state.decision["reason"])
