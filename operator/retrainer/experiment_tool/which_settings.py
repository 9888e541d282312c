"""The table in docs/which-settings.md: for some traffic, settings that work, and what `simulate` says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.experiment_tool.tables import number
from retrainer.simulation.forecast import Forecast, forecast

DAY = 86_400
RUNS, SEED = 2000, 1
BEGIN, END = "<!-- computed: table of settings -->", "<!-- end of what is computed -->"
COLUMNS = (
    "units a day",
    "rate now",
    "smallest effect",
    "ramp: weight × candidate units",
    "windowSeconds",
    "maturitySeconds",
    "maximum days",
    "units planned",
    "power",
    "days to decide (median; 90 %)",
    "useless promoted",
)


@dataclass(frozen=True)
class Setting:
    """One row: traffic, what the primary metric is now, and the settings for it.

    The guardrail is on the opposite votes, its rate `guardrail_rate` and its margin twice the smallest effect.
    """

    units_per_day: int
    rate: float
    effect: float
    ramp: tuple[tuple[int, int], ...]
    window_seconds: int
    maximum_days: int
    maturity_seconds: int = 1800

    @property
    def guardrail_rate(self) -> float:
        """Of the opposite votes: the rest, but of a rare event as rare again."""
        return min(round(1 - self.rate, 9), self.rate)

    @property
    def rates(self) -> dict[str, float]:
        """Planned rates by metric."""
        return {"likes": self.rate, "dislikes": self.guardrail_rate}

    def spec(self) -> dict[str, Any]:
        """The experiment of this row, as it would be written."""
        return {
            "baseline": _arm(1),
            "candidate": _arm(2),
            "traffic": {"policyRef": {"name": "tutor"}},
            "ramp": {"steps": [{"weightPercent": w, "minimumUnits": units} for w, units in self.ramp]},
            "windowSeconds": self.window_seconds,
            "maturitySeconds": self.maturity_seconds,
            "metrics": [
                {"name": "likes", "role": "Primary", "goal": "Increase", "source": _feedback("Positive")},
                {
                    "name": "dislikes",
                    "role": "Guardrail",
                    "goal": "Decrease",
                    "margin": f"{2 * self.effect:g}",
                    "source": _feedback("Negative"),
                },
            ],
            "minimumDetectableEffect": f"{self.effect:g}",
            "minimumDurationSeconds": DAY,
            "maximumDurationSeconds": self.maximum_days * DAY,
        }


def _arm(revision: int) -> dict[str, Any]:
    return {"serviceRef": {"name": f"tutor-v{revision}", "port": 8080}, "model": {"revision": revision}}


def _feedback(value: str) -> dict[str, Any]:
    return {"feedback": {"sourceRef": {"name": "tutor-thumbs"}, "signal": "thumbs", "value": value}}


_SMALL = ((10, 20), (50, 100))
_MODEST = ((10, 50), (50, 200))
_MIDDLE = ((5, 50), (25, 200), (50, 1000))
_LARGE = ((5, 200), (25, 1000), (50, 2000))
_HUGE = ((5, 500), (25, 5000), (50, 10000))

SETTINGS = (
    Setting(200, 0.8, 0.06, _SMALL, 14_400, 28),
    Setting(200, 0.1, 0.05, _SMALL, 14_400, 28),
    Setting(1_000, 0.8, 0.03, _MODEST, 3_600, 21),
    Setting(1_000, 0.1, 0.02, _MODEST, 3_600, 21),
    Setting(4_000, 0.8, 0.015, _MIDDLE, 900, 14),
    Setting(4_000, 0.1, 0.01, _MIDDLE, 900, 14),
    Setting(20_000, 0.8, 0.0075, _LARGE, 300, 14),
    Setting(20_000, 0.1, 0.005, _LARGE, 300, 14),
    Setting(100_000, 0.8, 0.003, _HUGE, 300, 14),
    Setting(100_000, 0.1, 0.0025, _HUGE, 300, 14),
)


def foreseen(setting: Setting, runs: int = RUNS, seed: int = SEED) -> Forecast:
    """What the experiment of a row would do."""
    spec = ABExperimentSpec.model_validate(setting.spec())
    return forecast(spec, setting.rates, setting.units_per_day, runs=runs, seed=seed, multiples=(0.0, 1.0))


def row(setting: Setting, found: Forecast) -> list[str]:
    """The row as it stands in the page."""
    useless, better = found.cases[0], found.cases[1]
    return [
        f"{setting.units_per_day:,}",
        f"{setting.rate:g}",
        f"{setting.effect:g}",
        ", ".join(f"{weight} % × {units:,}" for weight, units in setting.ramp),
        f"{setting.window_seconds:,}",
        f"{setting.maturity_seconds:,}",
        str(setting.maximum_days),
        f"{found.units_needed:,}",
        f"{better.promoted:.0%}".replace("%", " %"),
        f"{number(better.days_median, 2)}; {number(better.days_90_percent, 2)}",
        f"{useless.promoted * 100:.1f} %",
    ]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table for the page."""
    lines = [COLUMNS, ["---:"] * len(COLUMNS), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rows_in(page: str) -> list[dict[str, str]]:
    """The rows between the marks of a page, by heading; raises ValueError where the marks are missing."""
    block = page[page.index(BEGIN) + len(BEGIN) : page.index(END)]
    lines = [line for line in block.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(cells[0], row_, strict=True)) for row_ in cells[2:]]


def with_table(page: str, table: str) -> str:
    """The page with another table between its marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"


def computed(settings: Sequence[Setting] = SETTINGS) -> str:
    """The whole table; minutes."""
    return markdown([row(setting, foreseen(setting)) for setting in settings])
