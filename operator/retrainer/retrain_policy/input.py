"""What a decision about a policy needs to know; `observe` supplies it and knows no rules.

`observe` reads, in this order:
1. the policy itself (`obj`), with its status;
2. the ConfigMap `children.champion_name(name)`, live and with its data (caches hold ConfigMaps without data);
3. the objects that belong to the policy (label owner-kind/owner-name): TrainingRuns, ABExperiments,
   Deployments, Services; and, with a live GET before it says "absent", whatever bears a name that
   `wanted.wanted_names` lists, whoever owns it;
4. the FeedbackSources that `wanted.source_names` lists, the PodTemplate, the HTTPRoute (live);
5. the names of the Services with at least one ready endpoint;
6. the policies that claim the same host and path at one gateway (`rivals.claims_the_same`), each with its
   HTTPRoute (live);
7. the readings that `wanted.wanted_readings` lists; it asks for none while something is under way.
Everything else (whose an object is, what is missing, what a reading means) is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from retrainer.plan import Object


@dataclass(frozen=True)
class CountWanted:
    """How many readable records of these sources are later than `since` (None: all); one number.

    `value` Positive or Negative: only records whose vote has this polarity (any signal with polarity).
    """

    trigger: str
    sources: tuple[str, ...]
    value: Literal["Any", "Positive", "Negative"]
    since: datetime | None
    revision: int | None
    """The champion that the answer is about."""


@dataclass(frozen=True)
class UnitDaysWanted:
    """Mean vote (1 positive, 0 negative, neutral left out) per UTC day and unit of the champion's records.

    Days `first` ≤ day < `before`, all whole. A record is the champion's when its `model` is one of `models`.
    """

    trigger: str
    sources: tuple[str, ...]
    signal: str
    models: tuple[str, ...]
    first: date
    before: date
    revision: int


Wanted = CountWanted | UnitDaysWanted


@dataclass(frozen=True)
class UnitDay:
    """The votes of one unit on one UTC day."""

    day: date
    unit: str
    mean: float
    """Between 0 (all negative) and 1 (all positive)."""
    votes: int


@dataclass(frozen=True)
class CountRead:
    """The answer to CountWanted."""

    wanted: CountWanted
    count: int


@dataclass(frozen=True)
class UnitDaysRead:
    """The answer to UnitDaysWanted, in any order."""

    wanted: UnitDaysWanted
    days: tuple[UnitDay, ...]


@dataclass(frozen=True)
class ReadFailed:
    """A source could not be read; `reason` is for people and never quotes a driver."""

    wanted: Wanted
    reason: str


Reading = CountRead | UnitDaysRead | ReadFailed


@dataclass(frozen=True)
class Rival:
    """Another policy for which `rivals.claims_the_same` holds, and its HTTPRoute if there is one."""

    policy: Object
    route: Object | None


@dataclass(frozen=True)
class PolicyInput:
    """One policy and everything around it, frozen at one moment. Objects are plain dictionaries."""

    obj: Object
    """The RetrainPolicy."""
    champion: Object | None = None
    """The champion record's ConfigMap, with data."""
    runs: Mapping[str, Object] = field(default_factory=dict)
    """TrainingRuns by name."""
    experiments: Mapping[str, Object] = field(default_factory=dict)
    """ABExperiments by name."""
    deployments: Mapping[str, Object] = field(default_factory=dict)
    """Deployments by name, with status."""
    services: Mapping[str, Object] = field(default_factory=dict)
    """Services by name."""
    ready_services: frozenset[str] = frozenset()
    """Names of Services with at least one ready endpoint."""
    route: Object | None = None
    """The HTTPRoute with the policy's name, with status."""
    rivals: tuple[Rival, ...] = ()
    """Other policies that claim the same host and path at one gateway."""
    pod_template: Object | None = None
    """The PodTemplate that spec.serving names."""
    sources: Mapping[str, Object] = field(default_factory=dict)
    """FeedbackSources by name; one that is not here does not exist."""
    readings: tuple[Reading, ...] = ()
    """Answers to what was wanted."""
    default_trainer_image: str | None = None
    """Image of runs whose job names none."""
    name_conflict: str | None = None
    """Set when carrying out the plan ran into an object that is not ours: says which and what to do."""
