"""Brings candidate and champion before the evaluation rows: answers of both, for the rows that may judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.evaluate import Evaluation, TargetEvaluation
from trainer.methods.xgboost import TabularModel
from trainer.metrics import Scored
from trainer.table import Table


def judge_models(
    table: Table, candidate: TabularModel, champion: TabularModel | None, overlap: int
) -> tuple[Evaluation, dict[str, tuple[str, ...]]]:
    """Both models' answers on the independently labelled evaluation rows, and the classes per target."""
    side = table.evaluation
    names, unit_of_row = np.unique(side.units.astype(str), return_inverse=True)
    judged: list[TargetEvaluation] = []
    classes: dict[str, tuple[str, ...]] = {}
    for number, target in enumerate(table.targets):
        rows = side.independent[number]
        truths = side.truths[number][rows]
        known = [_classes_of(model, target.name) for model in (candidate, champion) if model is not None]
        together = () if target.type == "Regression" else _union(known, truths)
        matrix = side.features[rows]
        ours = _scored(candidate, target.name, truths, together, table, matrix)
        theirs = None if champion is None else _scored(champion, target.name, truths, together, table, matrix)
        if ours is None:
            raise AssertionError("a candidate answers the rows of its own snapshot")
        labelled = int(side.labelled(number).sum())
        judged.append(TargetEvaluation(ours, theirs, unit_of_row[rows].astype(np.int64), labelled))
        classes[target.name] = together
    return Evaluation(tuple(judged), len(names), overlap), classes


def _classes_of(model: TabularModel, target: str) -> Sequence[str]:
    return next((t.classes for t in model.schema.targets if t.name == target), ())


def _union(known: Sequence[Sequence[str]], truths: NDArray[Any]) -> tuple[str, ...]:
    return tuple(sorted({name for names in known for name in names} | set(truths)))


def _scored(
    model: TabularModel,
    target: str,
    truths: NDArray[Any],
    classes: Sequence[str],
    table: Table,
    matrix: NDArray[np.float32],
) -> Scored | None:
    answer = model.answers(matrix, table.features, target)
    if answer is None:
        return None
    if not classes:
        return Scored(truths.astype(np.float64), answer)
    index: Mapping[str, int] = {name: place for place, name in enumerate(classes)}
    spread = np.zeros((len(truths), len(classes)))
    for place, name in enumerate(_classes_of(model, target)):
        spread[:, index[name]] = answer[:, place]
    return Scored(np.array([index[truth] for truth in truths], dtype=np.float64), spread)
