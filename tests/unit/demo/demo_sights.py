"""Looks at an imagined cluster, for the tests of what the demo makes of them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from demo.sight import Sight, Told

Object = dict[str, Any]
START = datetime(2026, 3, 5, 12, tzinfo=UTC)


def obj(name: str, spec: Object | None = None, status: Object | None = None, born: int = 0) -> Object:
    created = (START + timedelta(seconds=born)).strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata = {"name": name, "namespace": "demo", "creationTimestamp": created, "generation": 1}
    return {"metadata": metadata, "spec": spec or {}, "status": status or {}}


def conditions(**reasons: str) -> list[Object]:
    """`Ready="True/Synced"` and so on."""
    return [
        {"type": kind, "status": text.partition("/")[0], "reason": text.partition("/")[2], "message": f"{kind} message"}
        for kind, text in reasons.items()
    ]


def table(columns: Mapping[str, int], rows: list[tuple[Object, tuple[object, ...]]]) -> Object:
    """A server's Table; `columns` are names and priorities."""
    return {
        "columnDefinitions": [{"name": name, "priority": priority} for name, priority in columns.items()],
        "rows": [{"cells": list(cells), "object": o} for o, cells in rows],
    }


def listed(*objects: Object) -> Object:
    return table({"Name": 0, "Age": 0}, [(o, (o["metadata"]["name"], "1s")) for o in objects])


def route(**weights: int) -> Object:
    """`route(r1=90, r2=10)`."""
    backends = [{"name": f"digits-{name}", "weight": weight} for name, weight in weights.items()]
    return {"spec": {"rules": [{"backendRefs": backends}]}}


def sight(seconds: float = 0.0, **kinds: Any) -> Sight:
    """`policy`, `runs`, `experiments`, and the fields of Sight."""
    tables = {}
    if "policy" in kinds:
        tables["RetrainPolicy"] = listed(kinds.pop("policy"))
    if "runs" in kinds:
        tables["TrainingRun"] = listed(*kinds.pop("runs"))
    if "experiments" in kinds:
        tables["ABExperiment"] = listed(*kinds.pop("experiments"))
    return Sight(START + timedelta(seconds=seconds), tables=kinds.pop("tables", tables), **kinds)


def experiment(decision: Object | None = None, effects: list[Object] | None = None) -> Object:
    status: Object = {"effects": effects or []}
    if decision:
        status["decision"] = decision
    return obj("digits-2", {"candidate": {"model": {"revision": 2}}}, status)


def told(uid: str, reason: str = "TriggerFired", warning: bool = False) -> Told:
    return Told(uid, "RetrainPolicy", "digits", reason, "people like it less", warning)
