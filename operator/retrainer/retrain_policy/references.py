"""What the spec refers to must exist and fit; otherwise a person is told which field, and nothing is launched."""

from __future__ import annotations

from retrainer.api.v1alpha1.retrain_policy import PolicyReason
from retrainer.retrain_policy.draft import Draft
from retrainer.retrain_policy.triggers import schedule
from retrainer.retrain_policy.triggers.result import InvalidTrigger
from retrainer.retrain_policy.wanted import signal_sources, source_names

_LOOK_SECONDS = 30.0
"""PodTemplates are not watched: somebody has to look whether the missing one has come."""


def references_resolved(draft: Draft) -> Draft:
    """Rule: FeedbackSources, signals, PodTemplate and schedules can be used."""
    for name in source_names(draft.facts.policy):
        if name not in draft.input.sources:
            draft = draft.trouble(
                PolicyReason.MISSING_REFERENCE,
                f"FeedbackSource {name} does not exist: create it, or correct the sourceRefs",
            )
    for check in (_template_exists, _signals_exist, _schedules_valid):
        draft = check(draft)
    return draft


def _template_exists(draft: Draft) -> Draft:
    if draft.serving is None or draft.input.pod_template is not None:
        return draft
    name = draft.serving.pod_template_ref.name
    return draft.trouble(
        PolicyReason.MISSING_REFERENCE,
        f"PodTemplate {name} does not exist: create it, or correct spec.serving.podTemplateRef",
    ).look_in(_LOOK_SECONDS)


def _signals_exist(draft: Draft) -> Draft:
    names = tuple(r.name for r in draft.spec.source_refs if r.name in draft.input.sources)
    if len(names) < len(draft.spec.source_refs):
        return draft
    for trigger in draft.spec.triggers:
        wanted = trigger.positive_rate
        if wanted is not None and not signal_sources(wanted.signal, names, draft.input.sources):
            draft = draft.trouble(
                PolicyReason.INVALID,
                f"trigger {trigger.name}: positiveRate.signal {wanted.signal} is no signal with approval and "
                "disapproval (thumbs, or a rating with positiveFrom and negativeUpTo) of any FeedbackSource in "
                "spec.sourceRefs",
            )
        elif wanted is not None:
            draft = _models_are_named(draft, trigger.name, signal_sources(wanted.signal, names, draft.input.sources))
    return draft


def _models_are_named(draft: Draft, trigger: str, names: tuple[str, ...]) -> Draft:
    """Only the champion's votes count: a source that does not say which model answered would have none for ever."""
    for name in names:
        if not (draft.input.sources[name]["spec"].get("record") or {}).get("model"):
            draft = draft.trouble(
                PolicyReason.INVALID,
                f"trigger {trigger}: positiveRate counts the champion's votes, but FeedbackSource {name} does not say "
                "which model answered: map spec.record.model there",
            )
    return draft


def _schedules_valid(draft: Draft) -> Draft:
    for trigger in draft.spec.triggers:
        if trigger.schedule is None:
            continue
        try:
            schedule.validate(trigger.name, trigger.schedule)
        except InvalidTrigger as error:
            draft = draft.trouble(PolicyReason.INVALID, str(error))
    return draft
