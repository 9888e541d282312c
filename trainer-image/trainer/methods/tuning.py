"""The search for parameters of one target: Optuna's TPE over cross-validated losses, continued where it stopped.

Nothing of a search lives in Optuna but what is asked of it: the trials so far are plain records, and the sampler of
trial n is seeded with seed + n. So a search that was stopped proposes what it would have proposed."""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from retrainer.api.v1alpha1.training_parts import Tuning, XGBoost
from trainer.errors import ConfigurationError, Diverged, Interrupted
from trainer.methods.parameters import Setting, check_method

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Range:
    """Where one parameter is searched."""

    kind: type[int] | type[float]
    low: float
    high: float
    untuned: float
    """The library's default: what the first trial takes."""
    logarithmic: bool = False


SPACE: dict[str, Range] = {
    "eta": Range(float, 0.02, 0.3, 0.3, logarithmic=True),
    "max_depth": Range(int, 2, 10, 6),
    "min_child_weight": Range(float, 0.5, 20, 1, logarithmic=True),
    "subsample": Range(float, 0.5, 1, 1),
    "colsample_bytree": Range(float, 0.5, 1, 1),
    "lambda": Range(float, 0.01, 30, 1, logarithmic=True),
}


def check_settings(settings: XGBoost) -> None:
    """Raise ConfigurationError, naming the field, for settings that cannot be carried out."""
    given = check_method(settings)
    if settings.tuning is None:
        return
    space_of(given)
    if importlib.util.find_spec("optuna") is None:
        raise ConfigurationError(
            "spec.method.xgboost.tuning: the trainer lacks Optuna; install the extra trainer-tabular, or remove it"
        )


def space_of(parameters: Mapping[str, Setting]) -> dict[str, Range]:
    """What is searched: all but the parameters that a person has set.

    Raises ConfigurationError where nothing is left."""
    left = {name: bounds for name, bounds in SPACE.items() if name not in parameters}
    if not left:
        raise ConfigurationError(
            "spec.method.xgboost.tuning: every parameter that it searches is set in parameters "
            f"({', '.join(SPACE)}); leave one of them out, or remove tuning"
        )
    return left


@dataclass(frozen=True)
class Trial:
    """One setting and its losses per fold, as many as are known; None for a loss that is no number."""

    parameters: Mapping[str, Setting]
    losses: tuple[float | None, ...] = ()

    @property
    def failed(self) -> bool:
        return None in self.losses


@dataclass(frozen=True)
class Search:
    """The trials of one target so far; only the last may lack folds."""

    trials: tuple[Trial, ...] = ()
    seconds: float = 0.0
    """Time spent, over all attempts."""

    def to_plain(self) -> dict[str, Any]:
        trials = [{"parameters": dict(t.parameters), "losses": list(t.losses)} for t in self.trials]
        return {"trials": trials, "seconds": self.seconds}

    @staticmethod
    def from_plain(plain: Mapping[str, Any]) -> Search:
        """Raises KeyError, TypeError or ValueError for what `to_plain` never wrote."""
        trials = tuple(Trial(dict(t["parameters"]), tuple(t["losses"])) for t in plain["trials"])
        return Search(trials, float(plain["seconds"]))


@dataclass(frozen=True)
class Tuner:
    """The search for one target."""

    settings: Tuning
    target: str
    space: Mapping[str, Range]
    fold_weights: Sequence[float]
    """How much each fold's loss counts."""
    seed: int
    budget: float
    """Seconds after which no trial begins; infinite without a limit."""
    loss: Callable[[Mapping[str, Setting], int], float]
    """Mean loss of a setting on one fold. Raises Diverged; Interrupted when asked to stop."""
    report: Callable[[Search], None]
    """Called after every fold."""
    save: Callable[[Search], None]
    """Called when interrupted, and at the end."""
    clock: Callable[[], float] = time.monotonic

    def run(self, search: Search) -> Search:
        """Continue `search` to its end. Raises Interrupted (after saving)."""
        began, before = self.clock(), search.seconds
        while not self._over(search):
            search = self._begun(search)
            trial = search.trials[-1]
            try:
                found: float | None = self.loss(trial.parameters, len(trial.losses))
            except Diverged:
                found = None
            except Interrupted:
                self.save(replace(search, seconds=before + self.clock() - began))
                raise
            done = replace(trial, losses=(*trial.losses, found))
            search = Search((*search.trials[:-1], done), before + self.clock() - began)
            self.report(search)
        self.save(search)
        return search

    def best(self, search: Search) -> Trial:
        """The trial with the least loss, the first of equal ones. Raises Diverged where none has a finite one."""
        best = min(search.trials, key=self.value)
        if best.failed:
            raise Diverged(f"target {self.target}: no trial of the search has a finite loss; look for extreme labels")
        return best

    def summary(self, search: Search) -> str:
        """A line for people. Raises Diverged as `best` does."""
        best, untuned = self.best(search), self.value(search.trials[0])
        chosen = ", ".join(f"{name} {value:.4g}" for name, value in sorted(best.parameters.items()))
        return (
            f"{self.target}: {len(search.trials)} trials of {len(self.fold_weights)} folds, loss "
            f"{self.value(best):.4g} ({untuned:.4g} untuned) with {chosen}"
        )

    def value(self, trial: Trial) -> float:
        """The mean loss over the folds; infinite where one is no number."""
        if trial.failed:
            return math.inf
        pairs = zip(trial.losses, self.fold_weights, strict=True)
        return sum(float(loss or 0) * weight for loss, weight in pairs) / sum(self.fold_weights)

    def complete(self, trial: Trial) -> bool:
        """Whether nothing more is to be learnt about it."""
        return trial.failed or len(trial.losses) == len(self.fold_weights)

    def _over(self, search: Search) -> bool:
        if search.trials and not self.complete(search.trials[-1]):
            return False
        return len(search.trials) >= self.settings.trials or (bool(search.trials) and search.seconds >= self.budget)

    def _begun(self, search: Search) -> Search:
        """With an incomplete last trial: the one that was stopped, or a new one."""
        if search.trials and not self.complete(search.trials[-1]):
            return search
        past = search.trials
        proposed = propose(self.space, self.seed, past, [self.value(trial) for trial in past])
        return replace(search, trials=(*past, Trial(proposed)))


def propose(
    space: Mapping[str, Range], seed: int, past: Sequence[Trial], values: Sequence[float]
) -> dict[str, Setting]:
    """The parameters of the next trial: a function of the trials so far (`values` are their losses, infinite for
    failed ones) and the seed alone. The first trial is the setting without tuning.

    Tree-structured Parzen estimator (Bergstra et al. 2011, "Algorithms for hyper-parameter optimization")."""
    if not past:
        return {name: bounds.kind(bounds.untuned) for name, bounds in space.items()}
    import optuna  # only now: runs without tuning need none of it

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {name: _distribution(bounds) for name, bounds in space.items()}
    # A new study each time: what an old one has beside its trials would be lost with an interrupted attempt.
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=(seed + len(past)) % 2**32))
    study.add_trials(
        optuna.trial.create_trial(
            params=dict(trial.parameters),
            distributions=distributions,
            value=None if trial.failed else value,
            state=optuna.trial.TrialState.FAIL if trial.failed else optuna.trial.TrialState.COMPLETE,
        )
        for trial, value in zip(past, values, strict=True)
    )
    return dict(study.ask(distributions).params)


def _distribution(bounds: Range) -> optuna.distributions.BaseDistribution:
    import optuna

    if bounds.kind is int:
        return optuna.distributions.IntDistribution(int(bounds.low), int(bounds.high), log=bounds.logarithmic)
    return optuna.distributions.FloatDistribution(bounds.low, bounds.high, log=bounds.logarithmic)
