"""The command line: `retrainer operator` runs the operator, `experiment` plans and replays experiments, `crds`
prints the definitions."""

from __future__ import annotations

import argparse
import sys


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="retrainer", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("operator", help="run the operator (settings: environment variables RETRAINER_…)")
    experiment = commands.add_parser("experiment", help="plan, simulate, replay or plot an experiment")
    commands.add_parser("crds", help="print the custom resource definitions as YAML")
    _describe_experiment(experiment)
    chosen = parser.parse_args(arguments)
    return {"operator": _operator, "experiment": _experiment, "crds": _crds}[chosen.command](chosen)


def _describe_experiment(parser: argparse.ArgumentParser) -> None:
    from retrainer.experiment_tool.cli import add_arguments

    parser.description = "Plan, simulate, replay or plot an experiment, without a cluster."
    add_arguments(parser)


def _operator(_: argparse.Namespace) -> int:
    # Imported here: the other commands must not pay for kopf and the API client.
    from retrainer.runtime.operator import run
    from retrainer.settings import Settings

    try:
        settings = Settings.from_environment()
    except ValueError as error:
        print(f"retrainer: {error}", file=sys.stderr)
        return 64
    return run(settings)


def _experiment(chosen: argparse.Namespace) -> int:
    from retrainer.experiment_tool.cli import run

    return run(chosen)


def _crds(_: argparse.Namespace) -> int:
    import yaml

    from retrainer.api.v1alpha1 import KINDS
    from retrainer.crdgen.crd import custom_resource_definition

    yaml.safe_dump_all((custom_resource_definition(kind) for kind in KINDS), sys.stdout, sort_keys=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
