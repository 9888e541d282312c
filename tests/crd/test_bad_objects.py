"""What people may get wrong is refused by the API server, with a message that names the field and the remedy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest
from crd.conftest import Api
from crd.valid_objects import ABSENT, BASES, DIGEST, OTHER_DIGEST, changed, metric

from retrainer.api.v1alpha1 import KINDS
from retrainer.crdgen.crd import custom_resource_definition


@dataclass(frozen=True)
class Bad:
    """One mistake: the sentence that names it, the change that makes it, words its refusal must contain."""

    sentence: str
    changes: dict[str, Any]
    words: tuple[str, ...]


def bad(sentence: str, changes: dict[str, Any], *words: str) -> Bad:
    return Bad(sentence, changes, words)


POSTGRES = {"connectionSecretRef": {"name": "feedback-db", "key": "dsn"}, "table": "public.feedback"}
THUMBS = {"positive": ["1"], "negative": ["-1"]}
PROMETHEUS = {"url": "http://prometheus:9090", "query": "errors_total"}
GOOD_TRIGGER = {"name": "stale", "staleness": {"maximumAgeDays": 30}}
CHAMPION = {"uri": "file:///models/base/", "digest": DIGEST}
MANY = 33


def names(count: int) -> list[dict[str, str]]:
    return [{"name": f"object-{number}"} for number in range(count)]


FEEDBACK_SOURCES = [
    bad("no source", {"spec.sqlite": ABSENT}, "spec", "set exactly one of postgres and sqlite"),
    bad("two sources", {"spec.postgres": POSTGRES}, "set exactly one of postgres and sqlite"),
    bad("table and query", {"spec.sqlite.query": "SELECT 1"}, "spec.sqlite", "exactly one of table and query"),
    bad("neither table nor query", {"spec.sqlite.table": ABSENT}, "spec.sqlite", "exactly one of table and query"),
    bad(
        "table and query of PostgreSQL",
        {"spec.sqlite": ABSENT, "spec.postgres": {**POSTGRES, "query": "SELECT 1"}},
        "spec.postgres",
        "exactly one of table and query",
    ),
    bad(
        "a connection string in the spec instead of a Secret",
        {"spec.sqlite": ABSENT, "spec.postgres": {"dsn": "host=db", "table": "feedback"}},
        "unknown field",
        "spec.postgres.dsn",
    ),
    bad(
        "a Secret without its key",
        {"spec.sqlite": ABSENT, "spec.postgres": {**POSTGRES, "connectionSecretRef": {"name": "feedback-db"}}},
        "spec.postgres.connectionSecretRef.key",
        "Required",
    ),
    bad("an absolute path", {"spec.sqlite.path": "/etc/feedback.db"}, "spec.sqlite.path", "relative to the data root"),
    bad("a path that climbs", {"spec.sqlite.path": "a/../../b.db"}, "spec.sqlite.path", "must not contain '..'"),
    bad("a query of 5,000 characters", {"spec.sqlite.query": "S" * 5000}, "spec.sqlite.query", "4096"),
    bad("no id column", {"spec.record.id": ABSENT}, "spec.record.id", "Required"),
    bad("no signal", {"spec.signals": []}, "spec.signals", "at least 1"),
    bad("17 signals", {"spec.signals": [{"name": f"s{n}", "label": {}} for n in range(17)]}, "spec.signals", "16"),
    bad(
        "two signals of one name",
        {"spec.signals.+": {"name": "thumbs", "from": "rating", "thumbs": THUMBS}},
        "spec.signals[1]",
        "Duplicate value",
    ),
    bad("a signal of no kind", {"spec.signals.0.thumbs": ABSENT}, "spec.signals[0]", "set exactly one of thumbs"),
    bad("a signal of two kinds", {"spec.signals.0.correction": {}}, "one of thumbs, rating, label and correction"),
    bad("thumbs without a column", {"spec.signals.0.from": ABSENT}, "spec.signals[0]", "needs `from`"),
    bad("thumbs without negative values", {"spec.signals.0.thumbs.negative": []}, "thumbs.negative", "at least 1"),
    bad(
        "a value that is both positive and negative",
        {"spec.signals.0.thumbs.negative": ["0", "1"]},
        "spec.signals[0].thumbs",
        "only one of positive, neutral and negative",
    ),
    bad(
        "a value that is both neutral and positive",
        {"spec.signals.0.thumbs.neutral": ["1"]},
        "only one of positive, neutral and negative",
    ),
    bad("thumbs as numbers", {"spec.signals.0.thumbs.positive": [1]}, "thumbs.positive[0]", "must be of type string"),
    bad("a label signal without labels", {"spec.signals.+": {"name": "truth", "label": {}}}, "needs record.labels"),
    bad(
        "a correction signal without a correction column",
        {"spec.signals.+": {"name": "fix", "correction": {}}},
        "needs record.correction",
    ),
    bad(
        "features from a column and from columns",
        {"spec.record.features": {"from": "pixels", "columns": [{"name": "a", "from": "a"}]}},
        "spec.record.features",
        "set exactly one of from and columns",
    ),
    bad(
        "categories of a numeric feature",
        {"spec.record.features": {"columns": [{"name": "a", "from": "a", "type": "Numeric", "categories": ["x"]}]}},
        "spec.record.features.columns[0]",
        "categories belong to a feature of type Categorical",
    ),
    bad("a look at every second", {"spec.syncIntervalSeconds": 1}, "spec.syncIntervalSeconds", "10"),
    bad("a misspelt field", {"spec.syncIntervalSecond": 60}, "unknown field", "spec.syncIntervalSecond"),
    bad("a name of 41 characters", {"metadata.name": "a" * 41}, "metadata.name must be at most 40 characters"),
    bad("a name with dots", {"metadata.name": "a.b"}, "metadata.name must be", "lower case letters, digits and '-'"),
    bad("a name that begins with a digit", {"metadata.name": "1a"}, "metadata.name must be", "beginning with a letter"),
    bad("no spec", {"spec": ABSENT}, "spec", "Required"),
    bad(
        "a rating without its column",
        {"spec.signals.0": {"name": "stars", "rating": {"minimum": "1", "maximum": "5"}}},
        "spec.signals[0]",
        "needs `from`",
    ),
    bad(
        "a scale upside down",
        {"spec.signals.0": {"name": "stars", "from": "rating", "rating": {"minimum": "5", "maximum": "1"}}},
        "spec.signals[0].rating",
        "minimum must be less than maximum",
    ),
    bad(
        "a rating that is praise and blame",
        {
            "spec.signals.0": {
                "name": "stars",
                "from": "rating",
                "rating": {"minimum": "1", "maximum": "5", "positiveFrom": "3", "negativeUpTo": "3"},
            }
        },
        "spec.signals[0].rating",
        "a rating cannot be both",
    ),
]

EXPERIMENT = "spec.promotion.experiment"

RETRAIN_POLICIES = [
    bad("no trigger", {"spec.triggers": []}, "spec.triggers", "at least 1"),
    bad("a trigger of no kind", {"spec.triggers.0.newSamples": ABSENT}, "spec.triggers[0]", "set exactly one of"),
    bad(
        "a trigger of two kinds", {"spec.triggers.0.staleness": {"maximumAgeDays": 1}}, "set exactly one of newSamples"
    ),
    bad(
        "two triggers of one name",
        {"spec.triggers.+": {**GOOD_TRIGGER, "name": "volume"}},
        "spec.triggers[1]",
        "Duplicate value",
    ),
    bad(
        "33 triggers",
        {"spec.triggers": [{**GOOD_TRIGGER, "name": f"stale-{n}"} for n in range(MANY)]},
        "spec.triggers",
        "32",
    ),
    bad(
        "a trigger name with spaces",
        {"spec.triggers.0.name": "new samples"},
        "spec.triggers[0].name",
        "must begin with a letter and contain only letters, digits",
    ),
    bad(
        "cron with seconds",
        {"spec.triggers.+": {"name": "weekly", "schedule": {"cron": "0 0 2 * * 1"}}},
        "spec.triggers[1].schedule.cron",
        "cron must have five fields",
        "no seconds",
    ),
    bad(
        "cron with four fields",
        {"spec.triggers.+": {"name": "weekly", "schedule": {"cron": "0 2 * 11"}}},
        "cron must have five fields",
    ),
    bad(
        "cron with words that are no field",
        {"spec.triggers.+": {"name": "weekly", "schedule": {"cron": "at 2 * * monday"}}},
        "spec.triggers[1].schedule.cron",
        "each field of cron must be",
        "*/15",
    ),
    bad("no samples at all", {"spec.triggers.0.newSamples.atLeast": 0}, "newSamples.atLeast", "1"),
    bad(
        "a like rate in percent",
        {"spec.triggers.+": {"name": "likes", "positiveRate": {"signal": "thumbs", "below": "85"}}},
        "spec.triggers[1].positiveRate.below",
        "must be a decimal string between 0 and 1",
    ),
    bad(
        "a like rate as a number",
        {"spec.triggers.+": {"name": "likes", "positiveRate": {"signal": "thumbs", "below": 0.85}}},
        "spec.triggers[1].positiveRate.below",
        "must be of type string",
    ),
    bad(
        "a like rate that nothing can reach",
        {"spec.triggers.+": {"name": "likes", "positiveRate": {"signal": "thumbs", "below": "1.0"}}},
        "positiveRate.below",
        "must lie between 0 and 1",
    ),
    bad("a trigger mode of its own", {"spec.triggerMode": "Both"}, "spec.triggerMode", '"Any", "All"'),
    bad("a negative cooldown", {"spec.cooldownSeconds": -1}, "spec.cooldownSeconds", "0"),
    bad(
        "a strategy rule that names an unknown trigger",
        {"spec.strategyRules": [{"strategy": "Full", "when": {"triggered": ["quality"]}}]},
        "when.triggered names a trigger that does not exist",
    ),
    bad(
        "a strategy rule without a condition",
        {"spec.strategyRules": [{"strategy": "Full", "when": {}}]},
        "spec.strategyRules[0].when",
        "set triggered, championAgeAtLeastDays or championAgeAtMostDays",
    ),
    bad(
        "a strategy rule that no age can meet",
        {
            "spec.strategyRules": [
                {"strategy": "Full", "when": {"championAgeAtLeastDays": 9, "championAgeAtMostDays": 8}}
            ]
        },
        "championAgeAtLeastDays must not exceed championAgeAtMostDays",
    ),
    bad("an unknown strategy", {"spec.defaultStrategy": "Magic"}, "spec.defaultStrategy", '"Incremental", "Full"'),
    bad("no source", {"spec.sourceRefs": []}, "spec.sourceRefs", "at least 1"),
    bad("nine sources", {"spec.sourceRefs": names(9)}, "spec.sourceRefs", "8"),
    bad(
        "one source named twice",
        {"spec.training.data.sourceRefs.+": {"name": "chat-thumbs"}},
        "spec.training.data.sourceRefs",
        "its records would count twice",
    ),
    bad(
        "a source of another namespace",
        {"spec.sourceRefs.0.name": "other/chat-thumbs"},
        "spec.sourceRefs[0].name",
        "must be the name of a Kubernetes object",
    ),
    bad("ABTest without serving", {"spec.serving": ABSENT}, "ABTest or Canary needs serving", "use method Immediate"),
    bad(
        "ABTest without an experiment",
        {EXPERIMENT: ABSENT},
        "spec.promotion",
        "methods ABTest and Canary need promotion.experiment",
        "Immediate",
    ),
    bad(
        "Immediate with an experiment",
        {"spec.promotion.method": "Immediate"},
        "spec.promotion",
        "Immediate runs no experiment",
        "remove promotion.experiment",
    ),
    bad(
        "a policy's experiment without a primary metric",
        {f"{EXPERIMENT}.metrics": [metric("bad", "Guardrail", "Decrease", "Negative", margin="0.02")]},
        "spec.promotion",
        "exactly one metric must have role Primary",
    ),
    bad("a budget of no runs", {"spec.budget": {"runsPerWeek": 0}}, "budget.runsPerWeek", "greater than or equal to 1"),
    bad("a budget of 33 runs", {"spec.budget": {"runsPerWeek": MANY}}, "spec.budget.runsPerWeek", "32"),
    bad("a budget of nothing", {"spec.budget": {}}, "spec.budget.runsPerWeek", "Required"),
    bad("a pin on no revision", {"spec.model.pin": 0}, "spec.model.pin", "greater than or equal to 1"),
    bad("a pin by name", {"spec.model.pin": "latest"}, "spec.model.pin", "must be of type integer"),
    bad(
        "an approval by nobody in particular",
        {"spec.promotion.approval": "Required"},
        "spec.promotion.approval",
        '"Automatic", "Manual"',
    ),
    bad(
        "Canary with a primary metric",
        {"spec.promotion.method": "Canary"},
        "spec.promotion",
        "method Canary has no Primary metric",
    ),
    bad(
        "an initial model outside the supported places",
        {"spec.model.initial": {"uri": "http://models/tutor", "digest": DIGEST}},
        "spec.model.initial.uri",
        "must begin with file:///",
    ),
    bad(
        "a digest cut short",
        {"spec.model.initial": {**CHAMPION, "digest": "sha256:abc"}},
        "spec.model.initial.digest",
        "64 hexadecimal digits",
    ),
    bad("a port that does not exist", {"spec.serving.port": 70000}, "spec.serving.port", "65535"),
    bad(
        "a route without a gateway",
        {"spec.serving.httpRoute.parentRefs": []},
        "spec.serving.httpRoute.parentRefs",
        "at least 1",
    ),
    bad(
        "a URL as host name",
        {"spec.serving.httpRoute.hostnames": ["https://tutor.example.com"]},
        "spec.serving.httpRoute.hostnames[0]",
        "must be a host name in lower case",
    ),
    bad("a path prefix without slash", {"spec.serving.httpRoute.pathPrefix": "tutor"}, "pathPrefix", "begin with '/'"),
    bad("a history of one revision", {"spec.revisionHistoryLimit": 1}, "spec.revisionHistoryLimit", "2"),
    bad("an embedded pod template", {"spec.serving.template": {"spec": {}}}, "unknown field", "spec.serving.template"),
    bad("a window of no days", {"spec.training.data.windowDays": 0}, "spec.training.data.windowDays", "1"),
    bad(
        "a gate on a target that is not trained",
        {"spec.training.gates": [{"metric": "accuracy", "target": "letter", "atLeast": "0.7"}]},
        "spec.training",
        "target names a target that method does not train",
    ),
]

TRAINING_RUNS = [
    bad("a window that ends before it begins", {"spec.data.window.to": "2026-07-01T00:00:00Z"}, "must lie before `to`"),
    bad("an empty window", {"spec.data.window.to": "2026-08-01T00:00:00Z"}, "spec.data.window", "before `to`"),
    bad("a window without an end", {"spec.data.window.to": ABSENT}, "spec.data.window.to", "Required"),
    bad("a date without time", {"spec.data.window.to": "2026-11-01"}, "spec.data.window.to", "date-time"),
    bad("windowDays in a run", {"spec.data.windowDays": 90}, "unknown field", "spec.data.windowDays"),
    bad("Incremental without a champion", {"spec.strategy": "Incremental"}, "set champion, or use strategy Full"),
    bad("a strategy in lower case", {"spec.strategy": "full"}, "spec.strategy", '"Incremental", "Full"'),
    bad("no method", {"spec.method": {}}, "spec.method", "set xgboost"),
    bad("a method we do not have", {"spec.method": {"ppo": {}}}, "unknown field", "spec.method.ppo"),
    bad("no target", {"spec.method.xgboost.targets": []}, "spec.method.xgboost.targets", "at least 1"),
    bad("no tree", {"spec.method.xgboost.trees": 0}, "spec.method.xgboost.trees", "1"),
    bad(
        "a learning rate scale of nothing",
        {"spec.method.xgboost.learningRateScale": "0"},
        "spec.method.xgboost.learningRateScale",
        "must be a positive decimal string",
    ),
    bad(
        "class weights without classes",
        {"spec.method.xgboost": {"targets": [{"name": "price", "type": "Regression"}], "classWeights": "Balanced"}},
        "spec.method.xgboost",
        "class weights need a target of type Classification",
    ),
    bad(
        "classes weighed twice",
        {
            "spec.method.xgboost.classWeights": "Balanced",
            "spec.method.xgboost.parameters": [{"name": "scale_pos_weight", "value": "3"}],
        },
        "spec.method.xgboost",
        "weighed twice; set classWeights or the parameter",
    ),
    bad("weights we do not know", {"spec.method.xgboost.classWeights": "Inverse"}, "classWeights", '"Balanced"'),
    bad("a single fold", {"spec.method.xgboost.tuning": {"folds": 1}}, "spec.method.xgboost.tuning.folds", "2"),
    bad("no trial", {"spec.method.xgboost.tuning": {"trials": 0}}, "spec.method.xgboost.tuning.trials", "1"),
    bad("tuning in no time", {"spec.method.xgboost.tuning": {"timeoutSeconds": 0}}, "tuning.timeoutSeconds", "1"),
    bad(
        "a parameter given twice",
        {"spec.method.xgboost.parameters": [{"name": "eta", "value": "1"}, {"name": "eta", "value": "2"}]},
        "spec.method.xgboost.parameters[1]",
        "Duplicate value",
    ),
    bad(
        "a gate without a demand",
        {"spec.gates": [{"metric": "accuracy"}]},
        "spec.gates[0]",
        "set exactly one of atLeast",
    ),
    bad(
        "a gate with two demands",
        {"spec.gates": [{"metric": "accuracy", "atLeast": "0.7", "atMost": "0.9"}]},
        "spec.gates[0]",
        "set exactly one of atLeast, atMost and versusChampion",
    ),
    bad(
        "a comparison without a demand",
        {"spec.gates": [{"metric": "accuracy", "versusChampion": {}}]},
        "spec.gates[0].versusChampion",
        "set exactly one of improvementAtLeast and regressionAtMost",
    ),
    bad(
        "a comparison with two demands",
        {"spec.gates": [{"metric": "a", "versusChampion": {"improvementAtLeast": "0", "regressionAtMost": "0"}}]},
        "set exactly one of improvementAtLeast and regressionAtMost",
    ),
    bad(
        "a confidence in percent",
        {"spec.gates": [{"metric": "a", "versusChampion": {"regressionAtMost": "0.02", "confidence": "95"}}]},
        "versusChampion.confidence",
        'for example "0.95"',
    ),
    bad(
        "units demanded of a gate that compares nothing",
        {"spec.gates": [{"metric": "accuracy", "atLeast": "0.7", "minimumUnits": 100}]},
        "minimumUnits belongs to a comparison",
    ),
    bad(
        "underpowered allowed for a gate that compares nothing",
        {"spec.gates": [{"metric": "accuracy", "atLeast": "0.7", "allowUnderpowered": True}]},
        "allowUnderpowered belongs to a comparison",
    ),
    bad(
        "a threshold in words",
        {"spec.gates": [{"metric": "accuracy", "atLeast": "high"}]},
        "spec.gates[0].atLeast",
        'must be a decimal string, for example "0.75"',
    ),
    bad(
        "a composite that is none",
        {"spec.gates": [{"metric": "mean(accuracy", "atLeast": "0.7"}]},
        "spec.gates[0].metric",
        "for example accuracy or mean(accuracy)",
    ),
    bad(
        "17 gates",
        {"spec.gates": [{"metric": "accuracy", "atLeast": "0.7"}] * 17},
        "spec.gates",
        "16",
    ),
    bad(
        "a gate on a target that is not trained",
        {"spec.gates": [{"metric": "accuracy", "target": "letter", "atLeast": "0.7"}]},
        "target names a target that method does not train",
    ),
    bad(
        "a finished Job kept too briefly",
        {"spec.job": {"ttlSecondsAfterFinished": 60}},
        "ttlSecondsAfterFinished",
        "600",
    ),
    bad("no deadline", {"spec.job": {"activeDeadlineSeconds": 0}}, "spec.job.activeDeadlineSeconds", "30"),
    bad("eleven retries", {"spec.job": {"maximumRetries": 11}}, "spec.job.maximumRetries", "10"),
    bad(
        "memory without a number",
        {"spec.job": {"resources": {"memory": "a lot"}}},
        "spec.job.resources.memory",
        "must be a positive quantity",
        '"16Gi"',
    ),
    bad("no processor", {"spec.job": {"resources": {"cpu": "0"}}}, "resources.cpu", "must be a positive quantity"),
    bad(
        "a relative mount path",
        {"spec.job": {"volumeClaims": [{"claimName": "data", "mountPath": "data"}]}},
        "mountPath",
        "must be an absolute path",
    ),
    bad(
        "two claims at one place",
        {"spec.job": {"volumeClaims": [{"claimName": c, "mountPath": "/data"} for c in ("a", "b")]}},
        "spec.job.volumeClaims",
        "same mountPath",
    ),
    bad(
        "nine claims",
        {"spec.job": {"volumeClaims": [{"claimName": f"c{n}", "mountPath": f"/d{n}"} for n in range(9)]}},
        "spec.job.volumeClaims",
        "8",
    ),
    bad(
        "an output that is no folder", {"spec.output.uri": "file:///artifacts"}, "spec.output.uri", "must end with '/'"
    ),
    bad("an output without scheme", {"spec.output.uri": "/artifacts/"}, "spec.output.uri", "must begin with file:///"),
    bad("everything for evaluation", {"spec.data.evaluationPercent": 100}, "spec.data.evaluationPercent", "50"),
    bad(
        "fewer rows allowed than demanded",
        {"spec.data.minimumSamples": 200, "spec.data.maximumSamples": 100},
        "spec.data",
        "maximumSamples must not be less than minimumSamples",
    ),
    bad("no model name", {"spec.model": ABSENT}, "spec.model", "Required"),
    bad("a pod spec", {"spec.job": {"podSpec": {"hostNetwork": True}}}, "unknown field", "spec.job.podSpec"),
]

AB_EXPERIMENTS = [
    bad(
        "a ramp that goes down",
        {"spec.ramp.steps": [{"weightPercent": 50}, {"weightPercent": 10}]},
        "spec.ramp",
        "steps must have increasing weightPercent",
    ),
    bad(
        "a ramp that stands still",
        {"spec.ramp.steps": [{"weightPercent": 10}, {"weightPercent": 10}]},
        "steps must have increasing weightPercent, each larger than the one before",
    ),
    bad("a ramp above one half", {"spec.ramp.steps.1.weightPercent": 60}, "spec.ramp.steps[1].weightPercent", "50"),
    bad("a ramp that begins with nothing", {"spec.ramp.steps.0.weightPercent": 0}, "spec.ramp.steps[0]", "1"),
    bad("a ramp without steps", {"spec.ramp.steps": []}, "spec.ramp.steps", "at least 1"),
    bad("21 steps", {"spec.ramp.steps": [{"weightPercent": n + 1} for n in range(21)]}, "spec.ramp.steps", "20"),
    bad(
        "no primary metric",
        {"spec.metrics": [metric("bad", "Guardrail", "Decrease", "Negative", margin="0.02")]},
        "exactly one metric must have role Primary",
    ),
    bad(
        "two primary metrics",
        {"spec.metrics.+": metric("more", "Primary", "Increase", "Positive")},
        "exactly one metric must have role Primary",
    ),
    bad("no metric", {"spec.metrics": []}, "spec.metrics", "at least 1"),
    bad(
        "nine metrics",
        {"spec.metrics": [metric(f"m{n}", "Guardrail", "Decrease", "Negative", margin="0.1") for n in range(9)]},
        "spec.metrics",
        "8",
    ),
    bad("two metrics of one name", {"spec.metrics.1.name": "likes"}, "spec.metrics[1]", "Duplicate value"),
    bad(
        "a guardrail without a margin", {"spec.metrics.1.margin": ABSENT}, "spec.metrics[1]", "needs a margin", '"0.02"'
    ),
    bad(
        "a margin on the primary metric",
        {"spec.metrics.0.margin": "0.02"},
        "spec.metrics[0]",
        "minimumDetectableEffect",
    ),
    bad(
        "silence counted as not disliking",
        {"spec.metrics.1.missing": "Zero"},
        "spec.metrics[1]",
        "would reward suppressing feedback; use Exclude",
    ),
    bad("a margin above one", {"spec.metrics.1.margin": "1.5"}, "spec.metrics[1]", "margin must be at most 1 here"),
    bad("a margin of nothing", {"spec.metrics.1.margin": "0"}, "spec.metrics[1].margin", "positive decimal"),
    bad(
        "a count of events from feedback",
        {"spec.metrics.1.kind": "Events"},
        "spec.metrics[1]",
        "kind: Events needs source.prometheus",
    ),
    bad("a metric without a source", {"spec.metrics.0.source": {}}, "spec.metrics[0].source", "set exactly one of"),
    bad(
        "a value that does not exist",
        {"spec.metrics.0.source.feedback.value": "Neutral"},
        "feedback.value",
        '"Positive", "Negative", "Score"',
    ),
    bad(
        "a signal without its value",
        {"spec.metrics.0.source.feedback.value": ABSENT},
        "spec.metrics[0].source.feedback",
        "a signal needs one",
    ),
    bad(
        "a signal and a quality",
        {"spec.metrics.0.source.feedback.quality": "latency"},
        "spec.metrics[0].source.feedback",
        "exactly one of signal and quality",
    ),
    bad(
        "two places for one metric",
        {"spec.metrics.1.source.prometheus": PROMETHEUS, "spec.metrics.1.kind": "Events"},
        "spec.metrics[1].source",
        "set exactly one of feedback and prometheus",
    ),
    bad(
        "Prometheus without a kind",
        {"spec.metrics.1.source": {"prometheus": PROMETHEUS}},
        "spec.metrics[1]",
        "needs its kind, Events or Proportion",
    ),
    bad(
        "events that decide",
        {
            "spec.metrics.0.source": {"prometheus": PROMETHEUS},
            "spec.metrics.0.kind": "Events",
            "spec.metrics.0.goal": "Decrease",
        },
        "spec.metrics[0]",
        "kind: Events can only be a Guardrail",
    ),
    bad(
        "a proportion of an unknown whole",
        {"spec.metrics.1.source": {"prometheus": PROMETHEUS}, "spec.metrics.1.kind": "Proportion"},
        "spec.metrics[1]",
        "needs source.prometheus.unitsQuery",
    ),
    bad(
        "missing outcomes of a counter",
        {
            "spec.metrics.1.source": {"prometheus": PROMETHEUS},
            "spec.metrics.1.kind": "Events",
            "spec.metrics.1.missing": "Exclude",
        },
        "spec.metrics[1]",
        "missing belongs to a signal of a FeedbackSource",
    ),
    bad(
        "a PromQL expression instead of a counter",
        {
            "spec.metrics.1.source": {"prometheus": {**PROMETHEUS, "query": "sum(rate(errors_total[5m]))"}},
            "spec.metrics.1.kind": "Events",
        },
        "source.prometheus.query",
        "must select the series of a counter",
        "without functions",
    ),
    bad(
        "a password in the address of Prometheus",
        {
            "spec.metrics.1.source": {"prometheus": {**PROMETHEUS, "url": "http://me:secret@prometheus:9090"}},
            "spec.metrics.1.kind": "Events",
        },
        "source.prometheus.url",
        "without user",
    ),
    bad(
        "a label that cannot be one",
        {
            "spec.metrics.1.source": {"prometheus": {**PROMETHEUS, "armLabel": "model-revision"}},
            "spec.metrics.1.kind": "Events",
        },
        "source.prometheus.armLabel",
        "must be the name of a label",
    ),
    bad("a mode that does not exist", {"spec.mode": "BlueGreen"}, "spec.mode", '"ABTest", "Canary"'),
    bad("a canary with a primary metric", {"spec.mode": "Canary"}, "spec", "mode: Canary has no Primary metric"),
    bad(
        "a canary that counts no units",
        {
            "spec.mode": "Canary",
            "spec.metrics": [
                {
                    "name": "errors",
                    "role": "Guardrail",
                    "goal": "Decrease",
                    "margin": "0.5",
                    "kind": "Events",
                    "source": {"prometheus": PROMETHEUS},
                }
            ],
        },
        "at least one metric must count units",
    ),
    bad("a salt with a space", {"spec.assignment": {"salt": "a b"}}, "assignment.salt", "must contain only letters"),
    bad("a unit we do not have", {"spec.assignment": {"unit": "Session"}}, "assignment.unit", '"Request", "User"'),
    bad("hours to settle", {"spec.assignment": {"settleSeconds": 3601}}, "spec.assignment.settleSeconds", "3600"),
    bad("no traffic", {"spec.traffic": {}}, "spec.traffic", "set exactly one of policyRef, httpRoute"),
    bad(
        "two who carry the weights",
        {"spec.traffic.policyRef": {"name": "tutor"}},
        "spec.traffic",
        "set exactly one of policyRef, httpRoute",
    ),
    bad(
        "a VirtualService without hosts",
        {"spec.traffic": {"virtualService": {"name": "tutor", "hosts": []}}},
        "spec.traffic.virtualService.hosts",
        "at least 1",
    ),
    bad(
        "a Gateway of Istio that cannot be one",
        {"spec.traffic": {"virtualService": {"name": "t", "hosts": ["t.example.com"], "gateways": ["a/b/c"]}}},
        "spec.traffic.virtualService.gateways[0]",
        "must be the name of an Istio Gateway",
    ),
    bad(
        "Services beside an InferenceService",
        {"spec.traffic": {"inferenceService": {"name": "tutor"}}},
        "except with traffic.inferenceService",
    ),
    bad("an arm without its Service", {"spec.candidate.serviceRef": ABSENT}, "need their serviceRef"),
    bad(
        "an effect beyond the metric's range",
        {"spec.minimumDetectableEffect": "20"},
        "minimumDetectableEffect must be at most 1",
    ),
    bad("alpha of one", {"spec.alpha": "1"}, "spec.alpha", "above 0 and at most 0.5", '"0.05"'),
    bad("alpha as a number", {"spec.alpha": 0.05}, "spec.alpha", "must be of type string"),
    bad("a certain finding", {"spec.power": "1"}, "spec.power", "from 0.5 to below 1"),
    bad("an effect of nothing", {"spec.minimumDetectableEffect": "0"}, "minimumDetectableEffect", "positive decimal"),
    bad(
        "a shortest duration beyond the longest",
        {"spec.minimumDurationSeconds": 1000, "spec.maximumDurationSeconds": 600},
        "minimumDurationSeconds must be less than maximumDurationSeconds",
    ),
    bad("windows of a second", {"spec.windowSeconds": 1}, "spec.windowSeconds", "5"),
    bad(
        "an end that does not exist",
        {"spec.onInconclusive": "Promote"},
        "spec.onInconclusive",
        '"KeepBaseline", "Hold"',
    ),
    bad(
        "an arm that nobody can recognise",
        {"spec.candidate.model": {"uri": "file:///models/new/"}},
        "spec.candidate.model",
        "set revision or digest",
    ),
    bad(
        "both arms with one revision",
        {"spec.candidate.model.revision": 3},
        "baseline and candidate name the same model",
    ),
    bad(
        "both arms with one digest",
        {"spec.baseline.model": {"digest": DIGEST}, "spec.candidate.model": {"digest": DIGEST}},
        "baseline and candidate name the same model",
    ),
    bad(
        "both arms behind one Service",
        {"spec.candidate.serviceRef.name": "tutor-r3"},
        "baseline and candidate must have different Services",
    ),
    bad("no candidate", {"spec.candidate": ABSENT}, "spec.candidate", "Required"),
    bad("a name of 41 characters", {"metadata.name": "a" * 41}, "metadata.name must be at most 40 characters"),
]

ALL = [
    pytest.param(kind, case, id=f"{kind}: {case.sentence}")
    for kind, cases in (
        ("FeedbackSource", FEEDBACK_SOURCES),
        ("RetrainPolicy", RETRAIN_POLICIES),
        ("TrainingRun", TRAINING_RUNS),
        ("ABExperiment", AB_EXPERIMENTS),
    )
    for case in cases
]

_REGULAR_EXPRESSION = re.compile(r"regular expression|should match|\[a-z|\^\[|\]\*\$")


@pytest.mark.parametrize(("kind", "case"), ALL)
def test_it_is_refused_and_the_message_says_what_to_do(kind: str, case: Bad, api: Api) -> None:
    message = api.refusal_of_creating(changed(BASES[kind](), case.changes))
    for word in case.words:
        assert word in message
    assert not _REGULAR_EXPRESSION.search(message), message


def test_there_are_at_least_45_mistakes_each_with_a_sentence_of_its_own() -> None:
    identities = [parameter.id for parameter in ALL]
    assert len(identities) >= 45
    assert len(set(identities)) == len(identities)


def test_arms_whose_revisions_differ_may_share_a_digest(api: Api) -> None:
    """A run over the same data yields the same artifact; its revision still tells the arms apart."""
    models = {"spec.baseline.model.digest": DIGEST, "spec.candidate.model.digest": DIGEST}
    api.try_create("default", changed(BASES["ABExperiment"](), models))


def test_arms_may_be_told_apart_by_digest_alone(api: Api) -> None:
    models = {"spec.baseline.model": {"digest": DIGEST}, "spec.candidate.model": {"digest": OTHER_DIGEST}}
    api.try_create("default", changed(BASES["ABExperiment"](), models))


def rules_of(schema: Any) -> set[str]:
    """Messages of all rules in a schema."""
    if isinstance(schema, list):
        return set().union(*map(rules_of, schema)) if schema else set()
    if not isinstance(schema, dict):
        return set()
    own = {rule["message"] for rule in schema.get("x-kubernetes-validations", ())}
    return own.union(*(rules_of(value) for value in schema.values()))


@pytest.fixture(scope="module")
def refusals(api: Api) -> str:
    """What the API server says to all mistakes."""
    cases = [parameter.values for parameter in ALL]
    return "\n".join(api.refusal_of_creating(changed(BASES[kind](), case.changes)) for kind, case in cases)


@pytest.mark.parametrize("kind", BASES)
def test_every_rule_of_a_kind_that_looks_at_one_object_refuses_one_of_the_mistakes(kind: str, refusals: str) -> None:
    definition = next(custom_resource_definition(k) for k in KINDS if k.kind == kind)
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    root = schema["x-kubernetes-validations"]
    messages = {rule["message"] for rule in root if "oldSelf" not in rule["rule"]}
    messages |= rules_of(schema["properties"]["spec"])
    assert {message for message in messages if message not in refusals} == set()
