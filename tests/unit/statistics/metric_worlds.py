"""Plans and windows of every scale, drawn by hypothesis, and a fold over them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from retrainer.statistics.metric import MetricPlan, MetricState, fold
from retrainer.statistics.sums import ArmSums, binary

Window = tuple[float, ArmSums, ArmSums]

LIKES = MetricPlan("likes", "Primary", "Increase", "Exclude", 0.1, 0.7, 0.05, 0.025, 0.8)
SCORE = replace(LIKES, name="score", scale="Bounded", variance=0.1)
LATENCY = replace(LIKES, name="latency", goal="Decrease", scale="Unbounded", rate=800.0, effect=40.0)
ERRORS = replace(LIKES, name="errors", role="Guardrail", goal="Decrease", scale="Events", rate=0.01, effect=0.5)


def guardrail(plan: MetricPlan) -> MetricPlan:
    return replace(plan, role="Guardrail")


def outcomes(*values: float, missing: int = 0) -> ArmSums:
    return ArmSums(len(values), sum(values), sum(v * v for v in values), missing)


def repeated(arm: ArmSums, times: int) -> ArmSums:
    return ArmSums(arm.n * times, arm.total * times, arm.squares * times, arm.missing * times)


def _some(values: st.SearchStrategy[float], times: st.SearchStrategy[int]) -> st.SearchStrategy[ArmSums]:
    drawn = st.lists(values, max_size=6).map(lambda ys: outcomes(*ys))
    return st.builds(repeated, drawn, times)


TIMES = st.sampled_from([1, 1, 3, 40, 150])
WEIGHT = st.sampled_from([0.1, 0.25, 0.5])
ARMS = {
    "Binary": _some(st.sampled_from([0.0, 1.0, 1.0]), TIMES),
    "Bounded": _some(st.sampled_from([0.0, 0.1, 0.5, 0.75, 0.9, 1.0]), TIMES),
    "Unbounded": _some(st.sampled_from([610.0, 700.0, 760.0, 850.0, 1400.0]), TIMES),
    "Events": st.builds(
        lambda n, total, known: ArmSums(n * known, float(total)),
        st.integers(100, 3000),
        st.integers(0, 40),
        st.just(1),
    ),
}


def windows(scale: str, largest: int = 5) -> st.SearchStrategy[list[Window]]:
    return st.lists(st.tuples(WEIGHT, ARMS[scale], ARMS[scale]), min_size=1, max_size=largest)


def folded(plan: MetricPlan, many: list[Window], state: MetricState | None = None) -> MetricState:
    state = state or MetricState()
    for weight, candidate, baseline in many:
        state = fold(plan, state, weight, candidate, baseline)
    return state


def with_missing(many: list[Window], first: int) -> list[Window]:
    """The windows, with one missing outcome from the `first` on."""
    return [(w, replace(c, missing=1) if i >= first else c, b) for i, (w, c, b) in enumerate(many)]


def clear(successes: int, others: int, n: int = 1000) -> Window:
    """A window at 50/50 of outcomes 0 or 1."""
    return 0.5, binary(successes, n), binary(others, n)
