"""What the tests of `retrainer experiment` give it: experiments and outcomes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from retrainer.experiment_tool.subjects import Subject, one_subject

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = ROOT / "manifests" / "samples" / "abexperiment.yaml"


def feedback(value: str) -> dict[str, Any]:
    return {"feedback": {"sourceRef": {"name": "chat"}, "signal": "thumbs", "value": value}}


def experiment(name: str = "tutor", **overrides: Any) -> dict[str, Any]:
    """Likes decide, dislikes guard; keywords replace fields of the spec."""
    arms = {
        arm: {"serviceRef": {"name": f"tutor-{arm}", "port": 80}, "model": {"revision": revision}}
        for arm, revision in (("baseline", 3), ("candidate", 4))
    }
    spec = {
        **arms,
        "traffic": {"policyRef": {"name": "tutor"}},
        "ramp": {
            "steps": [
                {"weightPercent": 10, "minimumUnits": 50},
                {"weightPercent": 25, "minimumUnits": 100},
                {"weightPercent": 50, "minimumUnits": 200},
            ]
        },
        "windowSeconds": 3600,
        "metrics": [
            {"name": "likes", "role": "Primary", "goal": "Increase", "source": feedback("Positive")},
            {
                "name": "dislikes",
                "role": "Guardrail",
                "goal": "Decrease",
                "margin": "0.05",
                "source": feedback("Negative"),
            },
        ],
        "minimumDetectableEffect": "0.1",
        "minimumDurationSeconds": 0,
        "maximumDurationSeconds": 864_000,
    }
    return {
        "apiVersion": "retrainer.dev/v1alpha1",
        "kind": "ABExperiment",
        "metadata": {"name": name},
        "spec": {**spec, **overrides},
    }


def primary_only(**overrides: Any) -> dict[str, Any]:
    """Only likes."""
    metrics = [{"name": "likes", "role": "Primary", "goal": "Increase", "source": feedback("Positive")}]
    return experiment(**{"metrics": metrics, **overrides})


def write_yaml(path: Path, *objects: dict[str, Any]) -> str:
    path.write_text("\n---\n".join(map(json.dumps, objects)), encoding="utf-8")
    return str(path)


def subject(folder: Path, obj: dict[str, Any] | None = None) -> Subject:
    return one_subject(write_yaml(folder / "abx.yaml", obj or experiment()))


def line(window: int, weight: int, metric: str, arm: str, n: int, total: float, **more: Any) -> dict[str, Any]:
    """One line of outcomes that are 0 or 1."""
    values = {"n": n, "sum": total, "sumSquares": total}
    return {"window": window, "weightPercent": weight, "metric": metric, "arm": arm, **values, **more}


def lines(
    window: int, weight: int, candidate: tuple[int, int], baseline: tuple[int, int], *metrics: str
) -> list[dict[str, Any]]:
    """One window, (likes, units) per arm; dislikes are what are not likes."""
    found = []
    for metric in metrics or ("likes", "dislikes"):
        for arm, (likes, n) in (("candidate", candidate), ("baseline", baseline)):
            found.append(line(window, weight, metric, arm, n, likes if metric == "likes" else n - likes))
    return found


def write_lines(path: Path, rows: Iterable[dict[str, Any] | str]) -> str:
    texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return str(path)
