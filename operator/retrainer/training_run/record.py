"""Writes a stage's result into the status; nothing else happens before that."""

from __future__ import annotations

from retrainer.api.v1alpha1.run_contract import StageResult
from retrainer.api.v1alpha1.training_run import (
    DatasetStatus,
    GateOutcome,
    GateResult,
    MetricResult,
    Progress,
    RunReason,
)
from retrainer.plan import Plan
from retrainer.training_run import ending
from retrainer.training_run.draft import DATA_READY, EVALUATED, GATES_PASSED, SUCCEEDED, TRAINED, Draft
from retrainer.training_run.input import Stage
from retrainer.training_run.launch import launch
from retrainer.training_run.numbers import artifact_status, dataset_status, gates_pass, judge_gates, metric_results
from retrainer.training_run.step import Step


def record(step: Step, draft: Draft, result: StageResult) -> Plan:
    """The plan that records the result and, after the data stage, starts the training."""
    if step.stage is Stage.DATA:
        return _record_data(step, draft, result)
    return _record_training(step, draft, result)


def _record_data(step: Step, draft: Draft, result: StageResult) -> Plan:
    assert result.dataset is not None, "told_result lets no data result without a data set pass"
    dataset = dataset_status(result.dataset, step.spec)
    draft = draft.put(dataset=dataset).drop("progress")
    draft = draft.condition(DATA_READY, "True", RunReason.FROZEN, _describe_dataset(dataset))
    training = Step(step.input, step.spec, Stage.TRAINING)
    return launch(training, draft, status_first=True)


def _record_training(step: Step, draft: Draft, result: StageResult) -> Plan:
    metrics = metric_results(result.metrics)
    gates = judge_gates(step.spec, result.gates)
    artifact = artifact_status(result, step.spec)
    draft = draft.put(progress=Progress(percent=100, updated_time=draft.now))
    for name, value in (("metrics", metrics), ("gates", gates), ("artifact", artifact)):
        draft = draft.put(**{name: value}) if value else draft.drop(name)
    passed = gates_pass(gates)
    if passed and artifact is None:
        text = "the gates pass, but the trainer packaged no artifact; request retry, and see its log"
        return ending.stop(step.input, draft, RunReason.FAILED, text)
    draft = draft.condition(TRAINED, "True", RunReason.TRAINED, _describe_artifact(draft))
    draft = _evaluated(draft, metrics)
    text = _describe_gates(gates)
    if passed:
        draft = draft.condition(GATES_PASSED, "True", RunReason.GATES_PASSED, text)
        draft = draft.condition(SUCCEEDED, "True", RunReason.COMPLETED, _sentence(metrics, text))
    else:
        draft = draft.condition(GATES_PASSED, "False", RunReason.GATES_FAILED, text)
        draft = draft.condition(SUCCEEDED, "True", RunReason.GATES_FAILED, f"trained, but not good enough: {text}")
    return ending.close(step.input, draft).settled().plan()


def _evaluated(draft: Draft, metrics: tuple[MetricResult, ...]) -> Draft:
    if not metrics:
        return draft.condition(EVALUATED, "False", RunReason.FAILED, "the trainer reported no metric")
    rows = (draft.status.get("dataset") or {}).get("evaluationRows", 0)
    return draft.condition(EVALUATED, "True", RunReason.EVALUATED, f"on {rows} rows: {_describe_metric(metrics[0])}")


def _describe_dataset(dataset: DatasetStatus) -> str:
    used = dataset.train_rows + dataset.validation_rows + dataset.evaluation_rows
    text = (
        f"{dataset.rows} rows of {dataset.units} units: {dataset.train_rows} to learn from, "
        f"{dataset.validation_rows} for early stopping, {dataset.evaluation_rows} for the comparison"
    )
    return f"{text}; {dataset.rows - used} between the sides are left out" if dataset.rows > used else text


def _describe_artifact(draft: Draft) -> str:
    artifact = draft.status.get("artifact")
    return f"artifact {artifact['digest']}" if artifact else "trained; no artifact was packaged"


def _describe_metric(metric: MetricResult) -> str:
    text = f"{metric.name} {metric.candidate}"
    if metric.champion is None or metric.change is None:
        return text
    sign = "" if metric.change.startswith("-") else "+"
    text = f"{text}, champion {metric.champion}, change {sign}{metric.change}"
    return f"{text} (interval {metric.lower} to {metric.upper})" if metric.lower and metric.upper else text


def _describe_gates(gates: tuple[GateResult, ...]) -> str:
    if not gates:
        return "no gates are demanded"
    failing = [g for g in gates if g.result in (GateOutcome.FAILED, GateOutcome.INSUFFICIENT_EVIDENCE)]
    if failing:
        reasons = "; ".join(f"{gate.result.value}: {gate.message}" for gate in failing)
        return f"{len(failing)} of {len(gates)} gates not passed: {reasons}"
    skipped = sum(gate.result is GateOutcome.NOT_APPLICABLE for gate in gates)
    text = f"{len(gates) - skipped} of {len(gates)} gates passed"
    return f"{text}, {skipped} not applicable (no champion)" if skipped else text


def _sentence(metrics: tuple[MetricResult, ...], gates: str) -> str:
    return f"{_describe_metric(metrics[0])}; {gates}" if metrics else gates
