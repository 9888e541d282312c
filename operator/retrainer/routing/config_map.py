"""ConfigMap from which an application reads weight and salt, to assign its users itself (docs/assignment.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass

from retrainer.api.v1alpha1.traffic import Arm as ArmSpec
from retrainer.plan import Object, Ref
from retrainer.routing.assignment import HASH
from retrainer.routing.carrier import NOTHING, Change, Subject
from retrainer.routing.comparison import covers
from retrainer.routing.state import Arm, RouteState, described, shares


@dataclass(frozen=True)
class ConfigMapCarrier:
    """The experiment's published assignment."""

    subject: Subject
    name: str
    owned: bool = True

    @property
    def ref(self) -> Ref:
        """The ConfigMap."""
        return Ref("v1", "ConfigMap", self.subject.namespace, self.name)

    def desired(self, weight: int) -> Object:
        """The ConfigMap at this candidate weight, 0 … 100."""
        metadata = self.subject.metadata(self.name)
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": self._data(weight)}

    def change(self, observed: Object | None, weight: int) -> Change:
        """Write it where it says anything else."""
        desired = self.desired(weight)
        return NOTHING if _up_to_date(observed, desired) else Change(applies=(desired,))

    def observe(self, observed: Object | None) -> RouteState:
        """What it says; applications take it up within settleSeconds, which nobody can see."""
        if observed is None:
            return RouteState(message=f"the ConfigMap {self.name} does not exist yet")
        try:
            weight = int((observed.get("data") or {}).get("weightPercent", ""))
            weights = shares(weight)
        except ValueError:
            return RouteState(message=f"the ConfigMap {self.name} does not say a weight that could be read")
        if not _up_to_date(observed, self.desired(weight)):
            return RouteState(message=f"the ConfigMap {self.name} was changed; it is being put right")
        message = f"the ConfigMap {self.name} says {described(weights)}"
        return RouteState(weights, accepted=True, resolved=True, message=message)

    def arm_problem(self, observed: Object | None, arm: Arm) -> str | None:
        """It knows nothing of the arms' health."""
        return None

    def _data(self, weight: int) -> dict[str, str]:
        shares(weight)  # refuses what is no percentage
        spec = self.subject.spec
        return {
            "experiment": self.subject.name,
            "unit": "User" if self.subject.by_user else "Request",
            "salt": self.subject.salt,
            "hash": HASH,
            "weightPercent": str(weight),
            "baseline": _arm(spec.baseline),
            "candidate": _arm(spec.candidate),
        }


def _arm(arm: ArmSpec) -> str:
    """What answers in an arm, as JSON with sorted keys: service, port, revision, uri, digest, as far as known."""
    known = {
        **({"service": arm.service_ref.name, "port": arm.service_ref.port} if arm.service_ref else {}),
        **arm.model.model_dump(by_alias=True, exclude_none=True),
    }
    return json.dumps(known, sort_keys=True)


def _up_to_date(observed: Object | None, desired: Object) -> bool:
    """Whether it says exactly this; a key that somebody added is not ours, and is left alone."""
    return observed is not None and covers(observed.get("data"), desired["data"]) and _is_labelled(observed, desired)


def _is_labelled(observed: Object, desired: Object) -> bool:
    return covers(observed["metadata"].get("labels") or {}, desired["metadata"]["labels"])
