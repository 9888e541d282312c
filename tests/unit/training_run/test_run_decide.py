"""What becomes of a run: a table of situations, and single rules with their numbers and sentences."""

import json
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from retrainer.api.v1alpha1.run_contract import ProgressLine
from retrainer.api.v1alpha1.training_run import TrainingRunStatus
from retrainer.plan import Plan, Ref
from retrainer.training_run.decide import decide
from retrainer.training_run.input import SecretFacts, SourceFacts, Stage
from tests.unit.training_run.run_world import (
    CHAMPION,
    IMAGE,
    NOON,
    conditions,
    data_result,
    facts,
    frozen,
    good_source,
    job,
    message,
    pod,
    run,
    seen,
    spec,
    sqlite_source,
    started,
    training_result,
)

DATA, TRAINING, RESULT = Stage.DATA, Stage.TRAINING, Stage.RESULT


@dataclass(frozen=True)
class Case:
    """A situation and the end that it must lead to."""

    sentence: str
    stage: Stage
    job: str
    pods: tuple = ()
    succeeded: tuple[str, str] = ("Unknown", "Running")
    says: str = ""
    changes: dict = field(default_factory=dict)


def ended(stage, code, told=None, reason=""):
    text = told if isinstance(told, str) else json.dumps(told) if told else ""
    return (pod(stage, exit_code=code, message=text, reason=reason),)


def told(stage, reason, text="because"):
    return {"stage": stage.value, "reason": reason, "message": text}


CASES = [
    Case("a running data Job is at work", DATA, "", (pod(DATA),)),
    Case("a running training Job is at work", TRAINING, "", (pod(TRAINING),)),
    Case("a Job without pods is at work at first", DATA, ""),
    Case(
        "too few rows end the run with the trainer's sentence",
        DATA,
        "Failed:PodFailurePolicy",
        ended(DATA, 65, told(DATA, "InsufficientData", "40 usable rows; data.minimumSamples demands 100")),
        ("False", "InsufficientData"),
        "40 usable rows; data.minimumSamples demands 100",
    ),
    Case(
        "a gate without a chance ends the run before the GPU Job",
        DATA,
        "Failed:PodFailurePolicy",
        ended(DATA, 65, told(DATA, "Underpowered")),
        ("False", "Underpowered"),
        "because",
    ),
    Case(
        "another schema is a data error",
        DATA,
        "Failed:PodFailurePolicy",
        ended(DATA, 65, told(DATA, "SchemaMismatch")),
        ("False", "SchemaMismatch"),
    ),
    Case(
        "a source that stayed away names itself",
        DATA,
        "Failed:BackoffLimitExceeded",
        ended(DATA, 1, told(DATA, "SourceFailed")),
        ("False", "SourceFailed"),
    ),
    Case(
        "a data error without a message says where to look",
        DATA,
        "Failed:PodFailurePolicy",
        ended(DATA, 65),
        ("False", "InsufficientData"),
        "kubectl logs tutor-4-data-1-x",
    ),
    Case(
        "a wrong configuration is named",
        TRAINING,
        "Failed:PodFailurePolicy",
        ended(TRAINING, 64, told(TRAINING, "InvalidConfiguration", "parameters: max_depht is unknown")),
        ("False", "InvalidConfiguration"),
        "max_depht",
    ),
    Case(
        "a reason that does not belong to the exit code is not believed",
        TRAINING,
        "Failed:PodFailurePolicy",
        ended(TRAINING, 64, told(TRAINING, "Completed")),
        ("False", "InvalidConfiguration"),
    ),
    Case(
        "a result of the other stage is not believed",
        TRAINING,
        "Failed:PodFailurePolicy",
        ended(TRAINING, 64, told(DATA, "InvalidConfiguration", "planted")),
        ("False", "InvalidConfiguration"),
        "exit 64",
    ),
    Case(
        "a container killed for memory names the remedy",
        TRAINING,
        "Failed:PodFailurePolicy",
        ended(TRAINING, 137, reason="OOMKilled"),
        ("False", "OutOfMemory"),
        "job.resources.memory",
    ),
    Case(
        "a container killed for another reason is not called out of memory",
        TRAINING,
        "Failed:PodFailurePolicy",
        ended(TRAINING, 137, reason="Error"),
        ("False", "Failed"),
        "not for memory",
    ),
    Case(
        "out of memory noticed by the trainer",
        TRAINING,
        "Failed:PodFailurePolicy",
        ended(TRAINING, 71, told(TRAINING, "OutOfMemory", "lower max_bin")),
        ("False", "OutOfMemory"),
        "lower max_bin",
    ),
    Case(
        "no room to write", TRAINING, "Failed:PodFailurePolicy", ended(TRAINING, 72), ("False", "DiskFull"), "enlarge"
    ),
    Case(
        "a loss that is no number",
        TRAINING,
        "Failed:PodFailurePolicy",
        ended(TRAINING, 73),
        ("False", "Diverged"),
        "learning rate",
    ),
    Case(
        "longer than allowed",
        TRAINING,
        "Failed:DeadlineExceeded",
        ended(TRAINING, 75),
        ("False", "DeadlineExceeded"),
        "86400 s (job.activeDeadlineSeconds)",
    ),
    Case(
        "errors until the retries are used up",
        TRAINING,
        "Failed:BackoffLimitExceeded",
        ended(TRAINING, 1, told(TRAINING, "Failed", "KeyError in trainer.evaluate")),
        ("False", "Failed"),
        "KeyError in trainer.evaluate",
    ),
    Case(
        "a failed Job without pods",
        TRAINING,
        "Failed:BackoffLimitExceeded",
        (),
        ("False", "Failed"),
        "BackoffLimitExceeded",
    ),
    Case(
        "a training that passes its gates",
        TRAINING,
        "Complete",
        ended(TRAINING, 0, training_result()),
        ("True", "Completed"),
        "accuracy 0.8767, champion 0.7021, change +0.1746 (interval 0.12 to 0.2244); 2 of 2 gates passed",
    ),
    Case(
        "a gate not met is a proper end",
        TRAINING,
        "Complete",
        ended(TRAINING, 0, training_result(gates=[{"value": 0.7}, {"change": 0.1, "bound": 0.0, "units": 200}])),
        ("True", "GatesFailed"),
        "1 of 2 gates not passed: Failed: accuracy is 0.7; demanded: at least 0.75",
    ),
    Case(
        "too few units prove nothing and do not pass",
        TRAINING,
        "Complete",
        ended(TRAINING, 0, training_result(gates=[{"value": 0.9}, {"change": 0.1, "bound": 0.1, "units": 99}])),
        ("True", "GatesFailed"),
        "99 evaluation units; 100 are needed",
    ),
    Case(
        "the trainer's own verdict is not asked",
        TRAINING,
        "Complete",
        ended(TRAINING, 0, training_result(reason="GatesFailed")),
        ("True", "Completed"),
    ),
    Case(
        "a missing comparison is no missing champion",
        TRAINING,
        "Complete",
        ended(TRAINING, 0, training_result(gates=[{"value": 0.9}])),
        ("True", "GatesFailed"),
        "no comparison with the champion: the trainer reported none",
    ),
    Case(
        "without a champion a comparison is not applicable, and said to be so",
        TRAINING,
        "Complete",
        ended(TRAINING, 0, training_result(gates=[{"value": 0.9}, {"value": 0.9}])),
        ("True", "Completed"),
        "1 of 2 gates passed, 1 not applicable (no champion)",
        {"champion": None},
    ),
    Case(
        "no gates, no demands",
        TRAINING,
        "Complete",
        ended(TRAINING, 0, training_result(gates=[])),
        ("True", "Completed"),
        "no gates are demanded",
        {"gates": None},
    ),
    Case(
        "passed gates without an artifact are a failure",
        TRAINING,
        "Complete",
        ended(TRAINING, 0, {**training_result(reason="GatesFailed"), "artifact": None}),
        ("False", "Failed"),
        "packaged no artifact",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.sentence)
def test_a_job_leads_to_this_end(case):
    obj = run(**{k: v for k, v in case.changes.items() if v is not None})
    for name in (k for k, v in case.changes.items() if v is None):
        obj["spec"].pop(name)
    obj["status"] = started(obj=obj) if case.stage is DATA else frozen(obj=obj)
    now = NOON + timedelta(seconds=50)
    plan = decide(seen(obj, jobs={case.stage: job(case.stage, condition=case.job)}, pods=facts(*case.pods)), now)
    status = plan.status or obj["status"]
    assert conditions(status)["Succeeded"] == case.succeeded
    assert case.says in message(status, "Succeeded")
    TrainingRunStatus.model_validate(status)
    is_over = case.succeeded[0] != "Unknown"
    assert (status.get("completionTime") is not None) == is_over
    assert (plan.requeue_after is None) == is_over
    assert not plan.creates


def test_the_first_pass_creates_configuration_and_data_job_and_says_so():
    plan = decide(seen(), NOON)
    assert [(o["kind"], o["metadata"]["name"]) for o in plan.creates] == [
        ("ConfigMap", "tutor-4-config-1"),
        ("Job", "tutor-4-data-1"),
    ]
    status = plan.status
    assert status == {
        "observedGeneration": 1,
        "attempts": 1,
        "startTime": "2026-11-21T12:00:00Z",
        "stage": "Data",
        "jobs": [{"stage": "Data", "name": "tutor-4-data-1"}],
        "conditions": status["conditions"],
    }
    assert conditions(status) == {
        "DataReady": ("Unknown", "Running"),
        "Trained": ("Unknown", "Pending"),
        "Evaluated": ("Unknown", "Pending"),
        "GatesPassed": ("Unknown", "Pending"),
        "Succeeded": ("Unknown", "Running"),
    }


def test_the_datas_result_is_written_before_the_training_job_is_created():
    obj = run(started())
    plan = decide(
        seen(obj, jobs={DATA: job(DATA, condition="Complete")}, pods=facts(*ended(DATA, 0, data_result()))), NOON
    )
    assert plan.status_first
    assert [o["metadata"]["name"] for o in plan.creates] == ["tutor-4-train-1"]
    assert plan.creates[0]["spec"]["template"]["spec"]["containers"][0]["args"][-1] == "sha256:" + "a" * 64
    assert plan.status["dataset"] == {
        "uri": "file:///models/tutor/snapshots/" + "a" * 64 + "/",
        "digest": "sha256:" + "a" * 64,
        "rows": 1200,
        "units": 800,
        "trainRows": 372,
        "validationRows": 41,
        "evaluationRows": 210,
        "trainedThrough": "2026-11-19T08:00:00Z",
        "dropped": [{"reason": "SplitDiscarded", "count": 577}, {"reason": "NoLabel", "count": 12}],
    }
    assert conditions(plan.status)["DataReady"] == ("True", "Frozen")
    assert message(plan.status, "DataReady") == (
        "1200 rows of 800 units: 372 to learn from, 41 for early stopping, 210 for the comparison; "
        "577 between the sides are left out"
    )
    assert plan.status["stage"] == "Training"
    # Recorded as seen only when it exists.
    assert plan.status["jobs"] == [{"stage": "Data", "name": "tutor-4-data-1"}]


def test_a_training_job_that_was_announced_but_never_created_is_created():
    plan = decide(seen(run(frozen())), NOON + timedelta(hours=2))
    assert [o["metadata"]["name"] for o in plan.creates] == ["tutor-4-train-1"]
    assert plan.status["jobs"][-1] == {"stage": "Training", "name": "tutor-4-train-1"}


def test_a_finished_run_shows_numbers_as_decimal_strings_and_addresses_from_the_spec():
    obj = run(frozen())
    later = NOON + timedelta(seconds=90)
    plan = decide(
        seen(
            obj,
            jobs={TRAINING: job(TRAINING, condition="Complete")},
            pods=facts(*ended(TRAINING, 0, training_result())),
        ),
        later,
    )
    status = plan.status
    assert status["metrics"] == [
        {
            "name": "accuracy",
            "candidate": "0.8767",
            "champion": "0.7021",
            "change": "0.1746",
            "lower": "0.12",
            "upper": "0.2244",
        },
        {"name": "logLoss", "candidate": "0.41"},
    ]
    assert [(g["metric"], g["result"], g["minimumDetectable"]) for g in status["gates"]] == [
        ("accuracy", "Passed", "0.0312"),
        ("accuracy", "Passed", "0.0312"),
    ]
    assert status["artifact"] == {
        "uri": "file:///models/tutor/artifacts/" + "b" * 64 + "/",
        "digest": "sha256:" + "b" * 64,
        "sizeBytes": 123456,
    }
    assert (status["stage"], status["progress"]["percent"], status["durationSeconds"]) == ("Done", 100, 90)
    assert {c: s for c, (s, _) in conditions(status).items()} == dict.fromkeys(conditions(status), "True")


# What must be there before anything is launched


@pytest.mark.parametrize(
    ("source", "remedy"),
    [
        (SourceFacts("thumbs", None), "FeedbackSource thumbs does not exist: create it"),
        (SourceFacts("thumbs", {"spec": {"record": {}}}), "spec of FeedbackSource thumbs cannot be read"),
        (SourceFacts("thumbs", good_source().obj, None), "Secret feedback-db of FeedbackSource thumbs does not exist"),
        (
            SourceFacts("thumbs", good_source().obj, SecretFacts(True, False, ())),
            'add the label retrainer.dev/allow-operator: "true" and the annotation retrainer.dev/allowed-hosts',
        ),
        (
            SourceFacts("thumbs", good_source().obj, SecretFacts(False, True, ("db",))),
            "has no key dsn",
        ),
        (
            SourceFacts("thumbs", {"spec": {**good_source().obj["spec"], "suspend": True}}),
            "is suspended: set its spec.suspend to false",
        ),
    ],
    ids=["no source", "bad source", "no secret", "not shared", "no key", "suspended"],
)
def test_a_missing_source_is_waited_for_with_its_remedy(source, remedy):
    plan = decide(seen(sources=(source,)), NOON)
    assert plan.creates == ()
    assert plan.requeue_after == 30
    assert conditions(plan.status)["Succeeded"] == ("Unknown", "Waiting")
    assert conditions(plan.status)["Reconciling"] == ("True", "Waiting")
    assert remedy in message(plan.status, "Succeeded")
    again = decide(seen(run(plan.status), sources=(source,)), NOON + timedelta(seconds=30))
    assert again.status is None, "waiting costs no writes"
    at_last = decide(seen(run(plan.status)), NOON + timedelta(seconds=60))
    assert len(at_last.creates) == 2
    assert "Reconciling" not in conditions(at_last.status)


def test_all_missing_sources_are_named_at_once():
    plan = decide(seen(sources=(SourceFacts("a", None), SourceFacts("b", None))), NOON)
    assert "FeedbackSource a does" in message(plan.status, "Succeeded")
    assert "FeedbackSource b does" in message(plan.status, "Succeeded")


def test_without_any_image_the_run_waits_for_one():
    obj = run(job={**spec()["job"], "image": None})
    plan = decide(seen(obj, image=""), NOON)
    assert plan.creates == ()
    assert "RETRAINER_TRAINER_IMAGE" in message(plan.status, "Succeeded")
    plan = decide(seen(obj, image="other"), NOON)
    assert plan.creates[1]["spec"]["template"]["spec"]["containers"][0]["image"] == "other"


JOB = spec()["job"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"job": {**JOB, "resources": {"gpuResource": "gpu"}}}, "write for example nvidia.com/gpu"),
        ({"job": {**JOB, "nodeSelector": {"pool": "a b"}}}, "job.nodeSelector: pool"),
        (
            {
                "job": {
                    **JOB,
                    "volumeClaims": [
                        {"claimName": "m", "mountPath": "/models"},
                        {"claimName": "n", "mountPath": "/models/"},
                    ],
                }
            },
            "mountPath /models is taken",
        ),
        ({"job": {**JOB, "volumeClaims": [{"claimName": "m", "mountPath": "/etc"}]}}, "mountPath /etc is taken"),
        ({"job": {**JOB, "volumeClaims": [{"claimName": "m", "mountPath": "/workdir/x"}]}}, "mountPath /workdir/x"),
        ({"job": {**JOB, "volumeClaims": [{"claimName": "m", "mountPath": "/a/../b"}]}}, "neither '..' nor ':'"),
        ({"output": {"uri": "file:///elsewhere/"}}, "output.uri: file:///elsewhere/ must lie below the mountPath"),
        ({"output": {"uri": "file:///models/../etc/"}}, "output.uri"),
        ({"output": {"uri": "file:///models/%2e%2e/etc/"}}, "output.uri"),
        ({"output": {"uri": "file:///modelsx/"}}, "output.uri"),
        ({"champion": {"uri": "file:///old/", "digest": CHAMPION}}, "champion.uri"),
        (
            {
                "champion": {
                    "uri": "file:///models/a/",
                    "digest": CHAMPION,
                    "snapshot": {"uri": "file:///s/", "digest": CHAMPION},
                }
            },
            "champion.snapshot.uri",
        ),
        ({"method": {"xgboost": {}}}, "spec.method.xgboost.targets"),
        ({"surprise": 1}, "spec.surprise"),
    ],
)
def test_a_spec_that_cannot_work_ends_the_run_naming_the_field(changes, says):
    plan = decide(seen(run(**changes)), NOON)
    assert plan.creates == ()
    assert conditions(plan.status)["Succeeded"] == ("False", "InvalidConfiguration")
    assert conditions(plan.status)["Stalled"] == ("True", "InvalidConfiguration")
    assert says in message(plan.status, "Succeeded")


def test_an_sqlite_source_needs_the_claim_that_holds_it():
    obj = run(job={"image": IMAGE})
    obj["spec"]["output"]["uri"] = "file:///models/"
    plan = decide(seen(obj, sources=(SourceFacts("thumbs", sqlite_source()),)), NOON)
    assert conditions(plan.status)["Succeeded"] == ("False", "InvalidConfiguration")
    plan = decide(seen(sources=(SourceFacts("thumbs", sqlite_source()),)), NOON)
    assert len(plan.creates) == 2


# A Job at work


def at_work(stage=TRAINING, pods=(), now=NOON, status=None, **changes):
    status = status or (frozen() if stage is TRAINING else started())
    given = seen(
        run(status, **changes), jobs={stage: job(stage)}, pods=facts(*pods), progress=changes.pop("progress", None)
    )
    return decide(given, now)


def test_an_image_that_cannot_be_pulled_has_a_minute():
    pulling = (pod(TRAINING, waiting="ErrImagePull"),)
    first = at_work(pods=pulling, now=NOON + timedelta(minutes=10))
    assert conditions(first.status)["Trained"] == ("Unknown", "ImagePullFailed")
    assert first.requeue_after == 60
    backing_off = (pod(TRAINING, waiting="ImagePullBackOff"),)
    later = at_work(pods=backing_off, now=NOON + timedelta(minutes=10, seconds=45), status=first.status)
    assert (later.deletes, later.requeue_after) == ((), 15)
    end = at_work(pods=backing_off, now=NOON + timedelta(minutes=11), status=later.status or first.status)
    assert conditions(end.status)["Succeeded"] == ("False", "ImagePullFailed")
    assert "check job.image" in message(end.status, "Succeeded")
    assert end.deletes == (Ref("batch/v1", "Job", "chat", "tutor-4-train-1", "training-1"),)
    assert end.status_first, "the reason must be known before the Job is gone"


def test_an_image_that_is_pulled_after_all_goes_on():
    first = at_work(pods=(pod(TRAINING, waiting="ErrImagePull"),))
    then = at_work(pods=(pod(TRAINING),), now=NOON + timedelta(seconds=50), status=first.status)
    assert conditions(then.status)["Trained"] == ("Unknown", "Running")
    again = at_work(
        pods=(pod(TRAINING, waiting="ErrImagePull"),), now=NOON + timedelta(seconds=100), status=then.status
    )
    assert again.requeue_after == 60, "the minute begins anew"


@pytest.mark.parametrize("reason", ["InvalidImageName", "ErrImageNeverPull"])
def test_an_image_that_can_never_be_pulled_ends_the_run_at_once(reason):
    plan = at_work(pods=(pod(TRAINING, waiting=reason),))
    assert conditions(plan.status)["Succeeded"] == ("False", "ImagePullFailed")
    assert len(plan.deletes) == 1


def test_a_pod_that_fits_nowhere_is_told_after_a_moment_and_waited_for():
    pods = (pod(TRAINING, unschedulable="0/3 nodes are available: 3 Insufficient nvidia.com/gpu."),)
    assert (
        conditions(at_work(pods=pods, now=NOON + timedelta(seconds=9)).status or frozen())["Succeeded"][1] == "Running"
    )
    plan = at_work(pods=pods, now=NOON + timedelta(seconds=10))
    assert conditions(plan.status)["Succeeded"] == ("Unknown", "Unschedulable")
    assert "Insufficient nvidia.com/gpu" in message(plan.status, "Trained")
    assert plan.deletes == ()
    assert [e.type for e in plan.events] == ["Warning"]


def test_a_job_that_gets_no_pod_points_at_the_job():
    plan = at_work(now=NOON + timedelta(seconds=60))
    assert conditions(plan.status)["Trained"] == ("Unknown", "Waiting")
    assert "kubectl describe job tutor-4-train-1" in message(plan.status, "Trained")


def test_a_container_that_cannot_start_points_at_the_pod():
    plan = at_work(pods=(pod(TRAINING, waiting="CreateContainerConfigError"),))
    assert "kubectl describe pod tutor-4-train-1-x" in message(plan.status, "Trained")


def interruptions(*percents, disrupted=False):
    told = [
        json.dumps({"stage": "Training", "reason": "Interrupted", "percent": p}) if p is not None else ""
        for p in percents
    ]
    return tuple(
        pod(
            TRAINING, exit_code=75, message=text, name=f"p{i}", created=NOON + timedelta(minutes=i), disrupted=disrupted
        )
        for i, text in enumerate(told)
    )


def test_three_interruptions_without_progress_end_the_run():
    plan = at_work(pods=interruptions(None, None, None))
    assert conditions(plan.status)["Succeeded"] == ("False", "Interrupted")
    assert "3 times in a row" in message(plan.status, "Succeeded")
    assert len(plan.deletes) == 1


@pytest.mark.parametrize(
    "pods",
    [
        interruptions(None, None),
        interruptions(10, 20, 30, 40, 50),
        interruptions(10, 10, 20, 20),
        interruptions(None, None, None, None, disrupted=True),
    ],
    ids=["two", "each further", "further in between", "the cluster's own doing"],
)
def test_interruptions_that_the_run_survives(pods):
    plan = at_work(pods=pods)
    assert conditions(plan.status or frozen())["Succeeded"] == ("Unknown", "Running")
    assert plan.deletes == ()


def test_pods_of_an_earlier_job_of_the_same_name_do_not_count():
    strangers = [dict(p) for p in interruptions(None, None, None)]
    for stranger in strangers:
        stranger["metadata"] = {**stranger["metadata"], "ownerReferences": [{"uid": "other", "controller": True}]}
    assert at_work(pods=tuple(strangers)).deletes == ()


def test_suspension_reaches_a_running_job_and_is_lifted_again():
    plan = at_work(pods=(pod(TRAINING),), suspend=True)
    assert [(ref.name, patch) for ref, patch in plan.merges] == [("tutor-4-train-1", {"spec": {"suspend": True}})]
    assert conditions(plan.status)["Succeeded"] == ("Unknown", "Suspended")
    assert "Reconciling" not in conditions(plan.status)
    paused = job(TRAINING)
    paused["spec"]["suspend"] = True
    plan = decide(seen(run(plan.status, suspend=True), jobs={TRAINING: paused}), NOON)
    assert (plan.merges, plan.status) == ((), None)
    plan = decide(seen(run(frozen()), jobs={TRAINING: paused}), NOON)
    assert plan.merges[0][1] == {"spec": {"suspend": False}}


def test_a_suspended_run_records_the_datas_result_but_starts_no_training():
    obj = run(started(), suspend=True)
    plan = decide(
        seen(obj, jobs={DATA: job(DATA, condition="Complete")}, pods=facts(*ended(DATA, 0, data_result()))), NOON
    )
    assert conditions(plan.status)["DataReady"] == ("True", "Frozen")
    assert conditions(plan.status)["Trained"] == ("Unknown", "Suspended")
    assert plan.creates == ()


# Progress


def with_progress(status, line, now):
    given = seen(run(status), jobs={TRAINING: job(TRAINING)}, pods=facts(pod(TRAINING)), progress=line)
    return decide(given, now)


def test_progress_is_written_at_once_and_then_at_most_every_thirty_seconds():
    first = with_progress(
        frozen(), ProgressLine(percent=3, step=6, total_steps=200, eta_seconds=97, loss=0.51234), NOON
    )
    assert first.status["progress"] == {
        "percent": 3,
        "step": 6,
        "totalSteps": 200,
        "etaSeconds": 97,
        "loss": "0.5123",
        "updatedTime": "2026-11-21T12:00:00Z",
    }
    assert first.status["jobs"][-1]["name"] == "tutor-4-train-1"
    soon = with_progress(first.status, ProgressLine(percent=20), NOON + timedelta(seconds=29))
    assert soon.status is None
    assert soon.requeue_after == 30
    later = with_progress(first.status, ProgressLine(percent=21), NOON + timedelta(seconds=30))
    assert later.status["progress"]["percent"] == 21
    assert later.events == ()
    same = with_progress(later.status, ProgressLine(percent=21), NOON + timedelta(seconds=90))
    assert same.status is None, "the same progress is no news"


def test_a_condition_that_changes_does_not_wait_for_progress():
    first = with_progress(frozen(), ProgressLine(percent=3), NOON)
    plan = at_work(pods=(pod(TRAINING, waiting="ErrImagePull"),), now=NOON + timedelta(seconds=5), status=first.status)
    assert plan.status is not None


def test_the_data_stages_progress_is_not_shown_as_the_trainings():
    status = started()
    given = seen(run(status), jobs={DATA: job(DATA)}, pods=facts(pod(DATA)), progress=ProgressLine(percent=80))
    status = decide(given, NOON).status
    assert status["progress"]["percent"] == 80
    done = seen(run(status), jobs={DATA: job(DATA, condition="Complete")}, pods=facts(*ended(DATA, 0, data_result())))
    assert "progress" not in decide(done, NOON).status


# Results that cannot be read, Jobs that are gone


@pytest.mark.parametrize(
    "pods", [(), ended(DATA, 0), ended(DATA, 0, "nonsense"), ended(DATA, 0, told(DATA, "Completed"))]
)
def test_a_completed_job_without_a_readable_result_is_looked_up_once(pods):
    status = started()
    jobs = {DATA: job(DATA, condition="Complete")}
    plan = decide(seen(run(status), jobs=jobs, pods=facts(*pods)), NOON)
    assert [o["metadata"]["name"] for o in plan.creates] == ["tutor-4-result-1"]
    assert plan.status["jobs"][-1] == {"stage": "Result", "name": "tutor-4-result-1"}
    gone = decide(seen(run(plan.status), jobs=jobs, pods=facts(*pods)), NOON)
    assert gone.creates == ()
    assert conditions(gone.status)["Succeeded"] == ("False", "ResultLost")


def result_job(of, condition):
    made = job(RESULT, condition=condition)
    made["metadata"]["labels"] = {"retrainer.dev/result-of": of}
    return made


def test_what_the_result_job_tells_is_recorded_like_any_result():
    jobs = {DATA: job(DATA, condition="Complete"), RESULT: result_job("data", "Complete")}
    pods = facts(pod(RESULT, exit_code=0, message=json.dumps(data_result())))
    plan = decide(seen(run(started()), jobs=jobs, pods=pods), NOON)
    assert conditions(plan.status)["DataReady"] == ("True", "Frozen")
    assert [o["metadata"]["name"] for o in plan.creates] == ["tutor-4-train-1"]


@pytest.mark.parametrize(
    ("of", "condition", "end"),
    [
        ("data", "", ("Unknown", "Running")),
        ("data", "Failed:BackoffLimitExceeded", ("False", "ResultLost")),
        ("data", "Complete", ("False", "ResultLost")),
        ("training", "Complete", ("False", "ResultLost")),
    ],
    ids=["still reading", "failed", "told nothing", "read the other stage"],
)
def test_the_result_job_decides_what_becomes_of_a_lost_result(of, condition, end):
    jobs = {DATA: job(DATA, condition="Complete"), RESULT: result_job(of, condition)}
    plan = decide(seen(run(started()), jobs=jobs), NOON)
    assert conditions(plan.status)["Succeeded"] == end


def test_a_job_deleted_by_hand_is_never_created_again():
    status = started()
    plan = decide(seen(run(status)), NOON)
    assert [o["metadata"]["name"] for o in plan.creates] == ["tutor-4-result-1"], "its result may lie in the output"
    jobs = {RESULT: result_job("data", "Failed:PodFailurePolicy")}
    end = decide(seen(run(plan.status), jobs=jobs), NOON)
    assert conditions(end.status)["Succeeded"] == ("False", "Failed")
    assert message(end.status, "Succeeded") == (
        "Job tutor-4-data-1 was deleted before its result was recorded, and the output holds no result of it; "
        "request retry to run it again"
    )


@pytest.mark.parametrize(
    ("reason", "end"),
    [("InsufficientData", ("False", "InsufficientData")), ("Cancelled", ("False", "Failed"))],
    ids=["a failure that is kept", "a reason that no trainer gives"],
)
def test_the_output_tells_why_a_job_failed_that_is_gone(reason, end):
    jobs = {RESULT: result_job("data", "Complete")}
    pods = facts(pod(RESULT, exit_code=0, message=json.dumps(told(DATA, reason, "40 rows; 100 are needed"))))
    plan = decide(seen(run(started()), jobs=jobs, pods=pods), NOON)
    assert conditions(plan.status)["Succeeded"] == end
    assert ("40 rows" in message(plan.status, "Succeeded")) == (reason == end[1])


def test_a_result_job_of_somebody_else_is_a_conflict():
    foreign = result_job("data", "Complete")
    foreign["metadata"]["ownerReferences"] = []
    plan = decide(seen(run(started()), jobs={DATA: job(DATA, condition="Complete"), RESULT: foreign}), NOON)
    assert conditions(plan.status)["Stalled"] == ("True", "NameConflict")


def test_the_exit_code_is_found_when_the_pod_is_gone():
    failed = job(TRAINING, condition="Failed:PodFailurePolicy")
    failed["status"]["conditions"][0]["message"] = (
        "Container trainer for pod chat/tutor-4-train-1-ab failed with exit code 137 matching FailJob rule at index 1"
    )
    plan = decide(seen(run(frozen()), jobs={TRAINING: failed}), NOON)
    assert conditions(plan.status)["Succeeded"] == ("False", "OutOfMemory")
    assert conditions(plan.status)["Trained"] == ("False", "OutOfMemory")
    assert conditions(plan.status)["DataReady"] == ("True", "Frozen")


# Names that others took


@pytest.mark.parametrize("owners", [[], [{"uid": "other", "controller": True}], [{"uid": "run-uid"}]])
def test_a_job_that_is_not_ours_is_left_alone_and_named(owners):
    foreign = job(DATA, condition="Complete")
    foreign["metadata"]["ownerReferences"] = owners
    plan = decide(seen(jobs={DATA: foreign}), NOON)
    assert (plan.creates, plan.deletes, plan.merges, plan.requeue_after) == ((), (), (), 60)
    assert conditions(plan.status)["Succeeded"] == ("Unknown", "NameConflict")
    assert conditions(plan.status)["Stalled"] == ("True", "NameConflict")
    assert "tutor-4-data-1" in message(plan.status, "Stalled")
    after = decide(seen(run(plan.status)), NOON)
    assert "Stalled" not in conditions(after.status), "it goes on when the name is free"


def test_a_conflict_met_while_writing_is_told():
    plan = decide(seen(conflict="ConfigMap tutor-4-config-1 exists"), NOON)
    assert message(plan.status, "Stalled") == "ConfigMap tutor-4-config-1 exists"
    assert plan.creates == ()


def test_a_foreign_job_survives_the_end_of_the_run():
    foreign = job(DATA)
    foreign["metadata"]["ownerReferences"] = []
    plan = decide(seen(run(started(), request="cancel/1"), jobs={DATA: foreign}), NOON)
    assert conditions(plan.status)["Succeeded"] == ("False", "Cancelled")
    assert plan.deletes == ()


# Requests


def test_cancel_stops_the_job_and_is_no_fault():
    plan = decide(seen(run(frozen(), request="cancel/a"), jobs={TRAINING: job(TRAINING)}), NOON)
    assert conditions(plan.status)["Succeeded"] == ("False", "Cancelled")
    assert "Stalled" not in conditions(plan.status)
    assert plan.status["lastHandledRequest"] == "cancel/a"
    assert [ref.name for ref in plan.deletes] == ["tutor-4-train-1"]
    assert "completionTime" not in plan.status
    stopped = decide(seen(run(plan.status, request="cancel/a")), NOON + timedelta(seconds=5))
    assert stopped.status["completionTime"] == "2026-11-21T12:00:05Z"
    assert stopped.events == ()


def test_a_request_that_is_there_at_creation_is_acknowledged_and_not_executed():
    plan = decide(seen(run(request="cancel/a")), NOON)
    assert plan.status["lastHandledRequest"] == "cancel/a"
    assert conditions(plan.status)["Succeeded"] == ("Unknown", "Running")


FAILED = {
    **started(),
    "attempts": 2,
    "stage": "Done",
    "startTime": "2026-11-21T11:00:00Z",
    "completionTime": "2026-11-21T11:30:00Z",
    "durationSeconds": 1800,
    "progress": {"percent": 40, "updatedTime": "2026-11-21T11:29:00Z"},
    "conditions": [
        {"type": "DataReady", "status": "True", "reason": "Frozen", "lastTransitionTime": "2026-11-21T11:10:00Z"},
        {"type": "Trained", "status": "False", "reason": "OutOfMemory", "lastTransitionTime": "2026-11-21T11:30:00Z"},
        {"type": "Succeeded", "status": "False", "reason": "OutOfMemory", "lastTransitionTime": "2026-11-21T11:30:00Z"},
        {"type": "Stalled", "status": "True", "reason": "OutOfMemory", "lastTransitionTime": "2026-11-21T11:30:00Z"},
    ],
}


def test_retry_begins_another_attempt_with_other_names():
    plan = decide(seen(run(FAILED, request="retry/b")), NOON)
    assert plan.creates == ()
    assert plan.status["attempts"] == 3
    assert {"startTime", "completionTime", "durationSeconds", "progress", "stage"} & set(plan.status) == set()
    assert set(conditions(plan.status).values()) == {("Unknown", "Pending")}
    assert [e.reason for e in plan.events] == ["Retried"]
    then = decide(seen(run(plan.status, request="retry/b")), NOON)
    assert [o["metadata"]["name"] for o in then.creates] == ["tutor-4-config-3", "tutor-4-data-3"]
    assert json.loads(then.creates[0]["data"]["run.json"])["attempt"] == 3


SUCCEEDED = {
    **FAILED,
    "conditions": [
        {"type": t, "status": "True", "reason": "Completed", "lastTransitionTime": "2026-11-21T11:30:00Z"}
        for t in ("DataReady", "Trained", "Evaluated", "GatesPassed", "Succeeded")
    ],
}


@pytest.mark.parametrize(
    ("status", "request_", "says"),
    [
        (SUCCEEDED, "retry/x", "retry: the run has succeeded"),
        (SUCCEEDED, "cancel/x", "cancel: the run has succeeded"),
        (FAILED, "cancel/x", "the run has ended already"),
        (frozen(), "retry/x", "the run has not ended yet"),
        (frozen(), "explode/x", "is not understood"),
        (frozen(), "retry", "is not understood"),
    ],
)
def test_a_request_at_the_wrong_time_is_refused_once(status, request_, says):
    jobs = {TRAINING: job(TRAINING)} if status["conditions"][-1]["status"] == "Unknown" else {}
    plan = decide(seen(run(status, request=request_), jobs=jobs, pods=facts(pod(TRAINING))), NOON)
    assert [e.reason for e in plan.events] == ["RequestRefused"]
    assert says in plan.events[0].message
    assert plan.status["lastHandledRequest"] == request_
    assert (plan.creates, plan.deletes) == ((), ())
    again = decide(seen(run(plan.status, request=request_), jobs=jobs, pods=facts(pod(TRAINING))), NOON)
    assert again.events == ()


def test_a_run_that_ended_needs_no_further_look():
    assert decide(seen(run(FAILED | {"observedGeneration": 1})), NOON).requeue_after is None


def test_the_sixteen_latest_jobs_are_remembered():
    many = [{"stage": "Data", "name": f"tutor-4-data-{n}"} for n in range(1, 17)]
    status = decide(seen(run({**started(), "attempts": 20, "jobs": many})), NOON).status
    assert [job["name"] for job in status["jobs"]] == [j["name"] for j in many[1:]] + ["tutor-4-data-20"]


def test_a_run_being_deleted_is_left_to_garbage_collection():
    obj = run()
    obj["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    assert decide(seen(obj), NOON) == Plan()
