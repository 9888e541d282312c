"""The champion record: a ConfigMap without owner that outlives its policy and is written before its status.

Its data: `champion.json` (model, champion, revisions, nextRevision; servers that we do not run read it) and
`template.json` (the frozen PodTemplate). An annotation holds a digest of both, so that an edit by hand is
noticed instead of believed.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import ValidationError

from retrainer.api.v1alpha1.kind import GROUP
from retrainer.api.v1alpha1.retrain_policy import (
    ChampionStatus,
    PolicyReason,
    RetrainPolicyStatus,
    Revision,
    RevisionState,
)
from retrainer.api.v1alpha1.retrain_policy import RetrainPolicySpec as Spec
from retrainer.plan import Object
from retrainer.retrain_policy import children
from retrainer.retrain_policy.revisions import Record, Template

CHAMPION_KEY = "champion.json"
TEMPLATE_KEY = "template.json"
DIGEST_ANNOTATION = f"{GROUP}/content-digest"


class RecordUnusable(Exception):
    """The ConfigMap is not ours, or its content cannot be trusted; the message names the remedy."""


def read(config_map: Object, policy: str) -> Record:
    """The record in the ConfigMap. Raises RecordUnusable."""
    meta = config_map["metadata"]
    found = meta.get("labels") or {}
    if any(found.get(key) != value for key, value in children.labels(policy).items()):
        raise RecordUnusable(
            f"ConfigMap {meta['name']} exists and does not belong to this policy; rename or delete it, "
            "or rename the policy"
        )
    data = config_map.get("data") or {}
    if (meta.get("annotations") or {}).get(DIGEST_ANNOTATION) != _digest(data):
        raise RecordUnusable(f"ConfigMap {meta['name']} was altered by hand; {_REMEDY}")
    try:
        return _parse(json.loads(data[CHAMPION_KEY]), json.loads(data.get(TEMPLATE_KEY, "null")))
    except (KeyError, TypeError, ValueError, ValidationError):
        raise RecordUnusable(f"ConfigMap {meta['name']} cannot be read; {_REMEDY}") from None


_REMEDY = (
    "restore its content, or delete the ConfigMap so that it is written again from the policy's status"
)


def write(record: Record, policy: Object, existing: Object | None) -> Object:
    """The ConfigMap with this record; with `existing`, a replacement that fails if somebody else was first."""
    meta = policy["metadata"]
    data = {CHAMPION_KEY: _champion_json(record, policy["spec"]["model"]["name"])}
    if record.template is not None:
        template = {"hash": record.template.hash, "port": record.template.port, "pod": record.template.pod}
        data[TEMPLATE_KEY] = _json(template)
    before = (existing or {}).get("metadata") or {}
    metadata: Object = {
        "name": children.champion_name(meta["name"]),
        "namespace": meta["namespace"],
        "labels": {**(before.get("labels") or {}), **children.labels(meta["name"])},
        "annotations": {**(before.get("annotations") or {}), DIGEST_ANNOTATION: _digest(data)},
    }
    if existing is not None:
        metadata["resourceVersion"] = before["resourceVersion"]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def first_record(spec: Spec, status: RetrainPolicyStatus, now: Any) -> Record:
    """The record where there is none: from the status, else from model.initial, else without a champion."""
    if status.champion is not None or status.revisions:
        return Record(
            champion=status.champion,
            revisions=status.revisions or (),
            next_revision=_next_number(status.next_revision, status.revisions or ()),
        )
    record = Record(next_revision=status.next_revision or 1)
    return with_initial(record, spec, now)


def with_initial(record: Record, spec: Spec, now: Any) -> Record:
    """model.initial becomes revision 1 where there never was a revision."""
    initial = spec.model.initial
    if initial is None or record.champion is not None or record.revisions:
        return record
    snapshot = None
    if initial.trained_through is not None:
        snapshot = {"trainedThrough": initial.trained_through}
    common = {"uri": initial.uri, "digest": initial.digest, "snapshot": snapshot}
    number = record.next_revision
    revision = Revision.model_validate(
        {
            **common,
            "revision": number,
            "state": RevisionState.CHAMPION,
            "time": now,
            "reason": PolicyReason.INITIAL,
            "incrementalChain": 0,
        }
    )
    champion = ChampionStatus.model_validate({**common, "revision": number, "promotedTime": now})
    return Record(champion, (revision,), number + 1, record.template)


def _parse(content: Any, template: Any) -> Record:
    champion = content["champion"]
    revisions = tuple(Revision.model_validate(r) for r in content["revisions"])
    return Record(
        champion=None if champion is None else ChampionStatus.model_validate(champion),
        revisions=revisions,
        next_revision=_next_number(int(content["nextRevision"]), revisions),
        template=None if template is None else Template(template["hash"], template["pod"], template["port"]),
    )


def _next_number(stated: int | None, revisions: tuple[Revision, ...]) -> int:
    return max(stated or 1, *(r.revision + 1 for r in revisions), 1)


def _champion_json(record: Record, model: str) -> str:
    def dump(part: ChampionStatus | Revision) -> Any:
        return part.model_dump(mode="json", by_alias=True, exclude_none=True)

    return _json(
        {
            "model": model,
            "champion": None if record.champion is None else dump(record.champion),
            "revisions": [dump(r) for r in record.revisions],
            "nextRevision": record.next_revision,
        }
    )


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, sort_keys=True)


def _digest(data: dict[str, str]) -> str:
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"
