"""The end of a ledger whose verdict stands on the status alone.

A stop is on the status, and carried out, before it is in the ledger; a crash may come between, and where users' own
objects are patched the ledger always comes later. The windows that led to the verdict are read again (the same
question has the same answer, see `readings`) and get their lines, then the verdict gets its own.
"""

from __future__ import annotations

from datetime import datetime

from retrainer.ab_experiment.counting import Circumstances, count_window, pending, uncounted_of_verdict
from retrainer.ab_experiment.input import ExperimentInput
from retrainer.ab_experiment.ledger import Ledger, append, load
from retrainer.ab_experiment.state import AlteredLedger, iso
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec


def completed(seen: ExperimentInput, spec: ABExperimentSpec) -> Ledger | None:
    """The ledger with what it lacks, as far as that is known now; None where nothing is to be written.

    A damaged ledger is left as it is.
    """
    try:
        ledger = load(seen.ledger, spec) if seen.ledger is not None else None
    except AlteredLedger:
        return None
    if ledger is None or ledger.state.decision is not None:
        return None
    longer = _with_windows(ledger, seen)
    missing = uncounted_of_verdict(seen.obj, longer)
    if missing and not seen.source_problem:
        return longer if longer is not ledger else None
    return append(longer, _verdict(seen, longer, missing))


def is_complete(seen: ExperimentInput, spec: ABExperimentSpec) -> bool:
    """Whether the ledger needs no further look."""
    try:
        return seen.ledger is None or load(seen.ledger, spec).state.decision is not None
    except AlteredLedger:
        return True


def _with_windows(ledger: Ledger, seen: ExperimentInput) -> Ledger:
    for _ in range(uncounted_of_verdict(seen.obj, ledger)):
        window = next(pending(ledger), None)
        reading = seen.readings.get(window.number) if window is not None else None
        if window is None or reading is None:
            break
        ledger, _ = count_window(ledger, window, reading, Circumstances(_time(seen, ledger), None, None))
    return ledger


def _verdict(seen: ExperimentInput, ledger: Ledger, missing: int) -> dict[str, object]:
    """The verdict's line; `unread` counts windows that led to it and could not be read again."""
    decision = seen.obj["status"]["decision"]
    return {
        "kind": "decision",
        "at": iso(_time(seen, ledger)),
        **{key: decision[key] for key in ("verdict", "reason", "message")},
        "weightPercent": 100 if decision["verdict"] == "PromoteCandidate" else 0,
        **({"unread": missing} if missing else {}),
    }


def _time(seen: ExperimentInput, ledger: Ledger) -> float:
    decided = datetime.fromisoformat(seen.obj["status"]["decision"]["time"]).timestamp()
    return max(decided, ledger.state.at)
