"""Resolves the sources of a run: what the data stage reads and which Secrets it gets, or what is missing."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec
from retrainer.api.v1alpha1.kind import ALLOW_OPERATOR_LABEL, ALLOWED_HOSTS_ANNOTATION
from retrainer.api.v1alpha1.run_contract import SourceConfig
from retrainer.training_run.input import SourceFacts
from retrainer.training_run.pod import SecretMount


@dataclass(frozen=True)
class ResolvedSources:
    """All sources of a run. `missing` says what a person must provide; empty: the data stage can start."""

    configs: tuple[SourceConfig, ...] = ()
    secrets: tuple[SecretMount, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def need_a_claim(self) -> bool:
        """Whether a source is a file, which only a volume claim brings into the pod."""
        return any(config.spec.sqlite is not None for config in self.configs)


def resolve(sources: tuple[SourceFacts, ...]) -> ResolvedSources:
    """Configuration and Secrets of the data stage."""
    configs: list[SourceConfig] = []
    secrets: list[SecretMount] = []
    missing: list[str] = []
    for facts in sources:
        found = _resolve_one(facts)
        if isinstance(found, str):
            missing.append(found)
            continue
        config, mount = found
        configs.append(config)
        if mount is not None:
            secrets.append(mount)
    return ResolvedSources(tuple(configs), tuple(secrets), tuple(missing))


def _resolve_one(facts: SourceFacts) -> tuple[SourceConfig, SecretMount | None] | str:
    if facts.obj is None:
        return f"FeedbackSource {facts.name} does not exist: create it in this namespace"
    try:
        spec = FeedbackSourceSpec.model_validate(facts.obj.get("spec") or {})
    except ValidationError:
        return f"the spec of FeedbackSource {facts.name} cannot be read: correct it"
    if spec.suspend:
        return f"FeedbackSource {facts.name} is suspended: set its spec.suspend to false"
    if spec.postgres is None:
        return SourceConfig(name=facts.name, spec=spec), None
    reference = spec.postgres.connection_secret_ref
    problem = _secret_problem(facts, reference.name, reference.key)
    if problem is not None or facts.secret is None:
        return problem or ""
    mount = SecretMount(facts.name, reference.name, reference.key)
    config = SourceConfig(name=facts.name, spec=spec, secret_file=mount.file, allowed_hosts=facts.secret.allowed_hosts)
    return config, mount


def _secret_problem(facts: SourceFacts, name: str, key: str) -> str | None:
    if facts.secret is None:
        return f"Secret {name} of FeedbackSource {facts.name} does not exist: create it in this namespace"
    if not facts.secret.shared:
        return (
            f"Secret {name} of FeedbackSource {facts.name} is not shared: add the label "
            f'{ALLOW_OPERATOR_LABEL}: "true" and the annotation {ALLOWED_HOSTS_ANNOTATION} with its hosts'
        )
    if not facts.secret.has_key:
        return f"Secret {name} of FeedbackSource {facts.name} has no key {key}: add it"
    return None
