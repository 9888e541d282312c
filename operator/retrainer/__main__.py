"""The command line: `python -m retrainer operator` runs the operator, `crds` prints the definitions."""

from __future__ import annotations

import argparse
import sys


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="retrainer", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("operator", help="run the operator (settings: environment variables RETRAINER_…)")
    commands.add_parser("crds", help="print the custom resource definitions as YAML")
    chosen = parser.parse_args(arguments)
    return _operator() if chosen.command == "operator" else _crds()


def _operator() -> int:
    # Imported here: the other commands must not pay for kopf and the API client.
    from retrainer.runtime.operator import run
    from retrainer.settings import Settings

    try:
        settings = Settings.from_environment()
    except ValueError as error:
        print(f"retrainer: {error}", file=sys.stderr)
        return 64
    return run(settings)


def _crds() -> int:
    import yaml

    from retrainer.api.v1alpha1 import KINDS
    from retrainer.crdgen.crd import custom_resource_definition

    yaml.safe_dump_all((custom_resource_definition(kind) for kind in KINDS), sys.stdout, sort_keys=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
