"""What can be seen of the cluster at one moment: the four kinds as kubectl shows them, Deployments, the route."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from demo.kube import Api, ApiError, Object

NAMESPACE = "demo"
POLICY = "digits"
KINDS = ("FeedbackSource", "RetrainPolicy", "TrainingRun", "ABExperiment")
"""In the order of the loop."""
SHORT = {"FeedbackSource": "fbs", "RetrainPolicy": "rtp", "TrainingRun": "trun", "ABExperiment": "abx"}

_GROUP = f"/apis/retrainer.dev/v1alpha1/namespaces/{NAMESPACE}"
_PATHS = {
    "FeedbackSource": f"{_GROUP}/feedbacksources",
    "RetrainPolicy": f"{_GROUP}/retrainpolicies",
    "TrainingRun": f"{_GROUP}/trainingruns",
    "ABExperiment": f"{_GROUP}/abexperiments",
}
POLICY_PATH = f"{_PATHS['RetrainPolicy']}/{POLICY}"
SOURCE_PATH = f"{_PATHS['FeedbackSource']}/digits"
_DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
_ROUTE = f"/apis/gateway.networking.k8s.io/v1/namespaces/{NAMESPACE}/httproutes/{POLICY}"
_EVENTS = f"/api/v1/namespaces/{NAMESPACE}/events"


@dataclass(frozen=True)
class Told:
    """One event about an object of ours."""

    uid: str
    kind: str
    name: str
    reason: str
    message: str
    warning: bool


@dataclass(frozen=True)
class Sight:
    """One look at the cluster."""

    time: datetime
    tables: Mapping[str, Object] = field(default_factory=dict)
    """By kind: the server's Table."""
    deployments: tuple[str, ...] = ()
    """Names of the Deployments."""
    route: Object | None = None
    """The policy's HTTPRoute."""
    events: tuple[Told, ...] = ()
    """All events about our kinds, the oldest first."""

    def all(self, kind: str) -> list[Object]:
        """The objects of a kind, the oldest first."""
        rows = self.tables.get(kind, {}).get("rows") or []
        return sorted((row["object"] for row in rows), key=_age)

    def get(self, kind: str, name: str) -> Object | None:
        return next((o for o in self.all(kind) if o["metadata"]["name"] == name), None)

    @property
    def policy(self) -> Object:
        """The policy `digits`; empty where there is none yet."""
        return self.get("RetrainPolicy", POLICY) or {}

    @property
    def experiment(self) -> Object:
        """The latest experiment; empty where there is none yet."""
        return (self.all("ABExperiment") or [{}])[-1]

    @property
    def shares(self) -> dict[int, int]:
        """Per cent of the traffic by revision, as the HTTPRoute says; the rules above header matches do not count."""
        return route_shares(self.route)


def _age(obj: Object) -> tuple[str, str]:
    return obj["metadata"]["creationTimestamp"], obj["metadata"]["name"]


def condition(obj: Object, kind: str) -> Object:
    """One condition of an object; empty where it has none of this type."""
    found = (obj.get("status") or {}).get("conditions") or []
    return next((c for c in found if c["type"] == kind), {})


def holds(obj: Object, kind: str) -> bool:
    """Whether a condition is True, and about the present generation of the object."""
    found = condition(obj, kind)
    current = found.get("observedGeneration") or (obj.get("status") or {}).get("observedGeneration")
    return found.get("status") == "True" and current == (obj.get("metadata") or {}).get("generation")


def route_shares(route: Object | None) -> dict[int, int]:
    """Per cent by revision number, from the weights of the backends named `<policy>-r<revision>`."""
    if not route:
        return {}
    rules = [r for r in route["spec"].get("rules") or () if not any(m.get("headers") for m in r.get("matches") or ())]
    backends = (rules[-1].get("backendRefs") or []) if rules else []
    weights = {int(b["name"].rpartition("-r")[2]): int(b.get("weight", 1)) for b in backends}
    whole = sum(weights.values()) or 1
    return {revision: round(100 * weight / whole) for revision, weight in sorted(weights.items()) if weight}


async def look(api: Api) -> Sight:
    """Everything at (nearly) one moment; kinds that the server does not know yet are left out."""
    *tables, deployments, route, events = await asyncio.gather(
        *(_or_nothing(api.table(_PATHS[kind])) for kind in KINDS),
        _or_nothing(api.get(_DEPLOYMENTS)),
        _or_nothing(api.get(_ROUTE)),
        _or_nothing(api.get(_EVENTS)),
    )
    return Sight(
        time=datetime.now(UTC),
        tables={kind: table for kind, table in zip(KINDS, tables, strict=True) if table},
        deployments=tuple(d["metadata"]["name"] for d in (deployments or {}).get("items") or ()),
        route=route,
        events=tuple(_told(e) for e in _in_order((events or {}).get("items") or []) if _is_ours(e)),
    )


async def _or_nothing(request: Awaitable[Object]) -> Object | None:
    try:
        return await request
    except ApiError as error:
        if error.status == 404:
            return None
        raise


def _is_ours(event: Object) -> bool:
    return event["involvedObject"].get("kind") in KINDS


def _in_order(events: list[Object]) -> list[Object]:
    def key(event: Object) -> tuple[str, int]:
        moment = event.get("firstTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
        return str(moment), int(event["metadata"]["resourceVersion"])

    return sorted(events, key=key)


def _told(event: Object) -> Told:
    about = event["involvedObject"]
    return Told(
        uid=event["metadata"]["uid"],
        kind=about["kind"],
        name=about["name"],
        reason=event.get("reason") or "",
        message=event.get("message") or "",
        warning=event.get("type") == "Warning",
    )
