"""Puts the controllers together: which observation feeds which decision, and how many workers each kind has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from retrainer.ab_experiment.decide import decide as decide_experiment
from retrainer.ab_experiment.observe import ExperimentObserver
from retrainer.ab_experiment.readings import EXPERIMENT, ExperimentReadings
from retrainer.feedback_source.decide import decide as decide_source
from retrainer.feedback_source.loader import SourceLoader
from retrainer.feedback_source.observe import SOURCE, SourceObserver
from retrainer.feedback_source.readings import Owner, Readings
from retrainer.kube.cache import Cache
from retrainer.kube.client import Client
from retrainer.kube.resources import AB_EXPERIMENT, FEEDBACK_SOURCE, RETRAIN_POLICY, TRAINING_RUN, Resource
from retrainer.retrain_policy.decide import decide as decide_policy
from retrainer.retrain_policy.observe import PolicyObserver
from retrainer.retrain_policy.readings import POLICY, PolicyReadings
from retrainer.runtime.controller import Controller
from retrainer.runtime.metrics import Metrics
from retrainer.runtime.reconciler import Reconciler, Surroundings
from retrainer.runtime.wiring import Wiring
from retrainer.settings import Settings
from retrainer.training_run.decide import decide as decide_run
from retrainer.training_run.observe import RunObserver

_WORKERS = {FEEDBACK_SOURCE: 4, RETRAIN_POLICY: 4, TRAINING_RUN: 6, AB_EXPERIMENT: 4}
_WOKEN = {SOURCE: FEEDBACK_SOURCE, POLICY: RETRAIN_POLICY, EXPERIMENT: AB_EXPERIMENT}


class Assembly:
    """All controllers of one operator."""

    def __init__(
        self,
        settings: Settings,
        client: Client,
        cache: Cache,
        metrics: Metrics,
        may_write: Callable[[], Awaitable[None]],
    ) -> None:
        self._wiring: Wiring | None = None
        loader = SourceLoader(
            client, cache, settings.data_root, settings.source_timeout_seconds, loopback=settings.allow_loopback
        )
        self.readings = Readings(loader.load, self._wake, settings.source_timeout_seconds)
        around = Surroundings(client, cache, may_write)
        image = settings.trainer_image
        runs = RunObserver(client, cache, image)
        policies = PolicyObserver(client, cache, PolicyReadings(self.readings), image)
        experiments = ExperimentObserver(
            client, cache, ExperimentReadings(self.readings), clock_ahead=client.clock_ahead
        )
        sources = SourceObserver(self.readings)
        reconcilers: tuple[Reconciler[Any], ...] = (
            Reconciler(FEEDBACK_SOURCE, around, sources.observe, decide_source, "Ready"),
            Reconciler(RETRAIN_POLICY, around, policies.observe, decide_policy, "Ready"),
            Reconciler(TRAINING_RUN, around, runs.observe, decide_run, "Succeeded"),
            Reconciler(AB_EXPERIMENT, around, experiments.observe, decide_experiment, "Succeeded"),
        )
        self.controllers: dict[Resource, Controller] = {
            r.resource: Controller(r.resource.kind, r.reconcile, metrics, _WORKERS[r.resource]) for r in reconcilers
        }

    def connect(self, wiring: Wiring) -> None:
        """From now on readings wake whoever asked for them."""
        self._wiring = wiring

    async def close(self) -> None:
        """Stop the readings."""
        await self.readings.close()

    def _wake(self, owner: Owner) -> None:
        kind, key = owner
        if self._wiring is not None:
            self._wiring.enqueue(_WOKEN[kind], key)
