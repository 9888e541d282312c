"""The arguments of `retrainer experiment`, and what each command does with them."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from retrainer.experiment_tool.failure import DONE, CommandError, InputError

if TYPE_CHECKING:
    from retrainer.experiment_tool.assumptions import Assumptions
    from retrainer.experiment_tool.replaying import Course
    from retrainer.experiment_tool.subjects import Subject

_FILE_HELP = "YAML of an ABExperiment, or of a RetrainPolicy with promotion.experiment; - for standard input"
_UNITS_HELP = (
    "units with an outcome that come each day, both arms together (requests with a vote; with unit User: users who "
    "come for the first time)"
)
_EXIT_CODES = (
    "Exit codes: 0 answered, whatever the answer; 1 a ledger does not add up, or a library is missing; "
    "2 the arguments or a file cannot be used, and why."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The four commands below `retrainer experiment`."""
    parser.epilog = _EXIT_CODES
    commands = parser.add_subparsers(dest="experiment_command", required=True, metavar="COMMAND")
    for name, summary, add, run in _COMMANDS:
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        command.epilog = _EXIT_CODES
        add(command)
        command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the chosen command; returns the exit code, and says on standard error why it is not 0."""
    command: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return command(arguments)
    except CommandError as error:
        for line in str(error).splitlines():
            print(f"retrainer: {line}", file=sys.stderr)
        return error.code
    except BrokenPipeError:
        # The reader has seen enough (| head); closing quietly is what others do.
        sys.stderr.close()
        return DONE


def _add_subject(command: argparse.ArgumentParser, *, required: bool = True) -> None:
    command.add_argument("-f", "--filename", required=required, metavar="FILE", help=_FILE_HELP)
    command.add_argument("--name", help="the object to use, where the file holds several")


def _add_assumptions(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--rate",
        action="append",
        default=[],
        metavar="[METRIC=]RATE",
        help="what the metric is now, e.g. 0.82 of votes positive; without METRIC= that of the primary metric; "
        "repeat for others (the opposite votes of the same signal follow from it; unknown ones count as 0.5)",
    )
    command.add_argument(
        "--deviation",
        action="append",
        default=[],
        metavar="[METRIC=]SD",
        help="standard deviation of one outcome of a quality or score, e.g. latency=120; repeat for others",
    )


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text}")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1_000_000:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 1,000,000, not {text}")
    return value


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument("--output", choices=("table", "json"), default="table", help="table (default) or json")


def _add_plan(command: argparse.ArgumentParser) -> None:
    _add_subject(command)
    _add_assumptions(command)
    command.add_argument("--units-per-day", type=_positive, metavar="N", help=_UNITS_HELP)
    _add_output(command)


def _assumptions(subject: Subject, arguments: argparse.Namespace) -> Assumptions:
    from retrainer.experiment_tool.assumptions import assumptions

    return assumptions(subject, arguments.rate, arguments.deviation)


def _plan(arguments: argparse.Namespace) -> int:
    from retrainer.experiment_tool.plan_text import plan_text
    from retrainer.experiment_tool.planning import plan
    from retrainer.experiment_tool.subjects import subjects_in

    plans = [
        plan(subject, _assumptions(subject, arguments), arguments.units_per_day)
        for subject in subjects_in(arguments.filename, arguments.name)
    ]
    if arguments.output == "json":
        print("\n".join(json.dumps(planned.to_json()) for planned in plans))
    else:
        print("\n\n".join(plan_text(planned) for planned in plans))
    return DONE


def _add_simulate(command: argparse.ArgumentParser) -> None:
    _add_subject(command)
    _add_assumptions(command)
    command.add_argument("--units-per-day", type=_positive, required=True, metavar="N", help=_UNITS_HELP)
    command.add_argument(
        "--effect",
        type=float,
        metavar="D",
        help="how much better the candidate really is, in units of the primary metric "
        "(minimumDetectableEffect)",
    )
    command.add_argument("--runs", type=_count, default=2000, metavar="N", help="experiments to simulate (2000)")
    command.add_argument("--seed", type=int, default=1, metavar="N", help="the same seed gives the same answer (1)")
    _add_output(command)


def _simulate(arguments: argparse.Namespace) -> int:
    from retrainer.experiment_tool.simulating import Asked, simulated, simulation_text
    from retrainer.experiment_tool.subjects import one_subject

    subject = one_subject(arguments.filename, arguments.name)
    assumed = _assumptions(subject, arguments)
    asked = Asked(assumed, arguments.units_per_day, arguments.effect, arguments.runs, arguments.seed)
    result = simulated(subject, asked)
    print(json.dumps(result.to_json()) if arguments.output == "json" else simulation_text(result))
    return DONE


def _add_outcomes(command: argparse.ArgumentParser) -> None:
    _add_subject(command)
    _add_assumptions(command)
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("--outcomes", metavar="FILE", help="outcomes of windows, one JSON object per line")
    source.add_argument(
        "--ledger", metavar="FILE", help="the ledger of a live experiment: kubectl get configmap NAME-ledger -o yaml"
    )


def _replay(arguments: argparse.Namespace) -> int:
    for look in _course(arguments).looks:
        print(json.dumps(look.to_json()))
    return DONE


def _add_plot(command: argparse.ArgumentParser) -> None:
    _add_outcomes(command)
    command.add_argument("-o", "--output", metavar="FILE", help="the PNG to write; the experiment's name .png if unset")


def _plot(arguments: argparse.Namespace) -> int:
    from retrainer.experiment_tool.picture import picture
    from retrainer.experiment_tool.plotting import default_path, draw

    course = _course(arguments)
    looks = list(course.looks)
    if not looks:
        raise InputError("no window has been counted yet: there is nothing to draw")
    path = arguments.output or default_path(course.name)
    draw(picture(course.name, looks, course.metrics), path)
    print(path)
    return DONE


def _course(arguments: argparse.Namespace) -> Course:
    """What was chosen to be replayed; remarks about the file go to standard error."""
    from retrainer.experiment_tool.replaying import of_ledger, of_outcomes
    from retrainer.experiment_tool.subjects import one_subject

    subject = one_subject(arguments.filename, arguments.name)
    if arguments.ledger is not None:
        course = of_ledger(subject, arguments.ledger)
    else:
        course = of_outcomes(subject, _assumptions(subject, arguments), arguments.outcomes)
    for remark in course.remarks:
        print(f"retrainer: note: {remark}", file=sys.stderr)
    return course


_COMMANDS = (
    ("plan", "units, days and power that an experiment needs", _add_plan, _plan),
    (
        "simulate",
        "how often this very experiment errs and finds an effect, and how long it takes",
        _add_simulate,
        _simulate,
    ),
    ("replay", "each window's effects and decision, one JSON object per line", _add_outcomes, _replay),
    ("plot", "draw effect, interval, weights and units over time as PNG", _add_plot, _plot),
)
