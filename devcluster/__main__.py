"""The command line: `python -m devcluster up|down|status|kubeconfig`."""

import argparse
import sys
from pathlib import Path

from devcluster.cluster import Cluster
from devcluster.errors import DevclusterError


def up(arguments: argparse.Namespace) -> None:
    images = dict(_image(text) for text in arguments.image)
    environment = dict(_assignment(text) for text in arguments.env)
    cluster = Cluster.start(
        arguments.state_dir,
        agent=not arguments.no_agent,
        gateway=not arguments.no_gateway,
        images=images,
        pod_environment=environment,
        dies_with_parent=False,
    )
    print(f"export KUBECONFIG={cluster.kubeconfig}")
    if not arguments.no_gateway:
        print(f"# gateway: {cluster.gateway_url}")


def down(arguments: argparse.Namespace) -> None:
    if not Cluster.stop_state(arguments.state_dir):
        print(f"no cluster runs in {arguments.state_dir}")
    if arguments.purge:
        Cluster.purge_state(arguments.state_dir)


def status(arguments: argparse.Namespace) -> None:
    cluster = Cluster.attach(arguments.state_dir)
    print(f"running in {cluster.state_dir}")
    print(f"kubeconfig {cluster.kubeconfig}")
    print(f"server     {cluster.server}")
    if cluster.has_gateway:
        print(f"gateway    {cluster.gateway_url}")


def kubeconfig(arguments: argparse.Namespace) -> None:
    print(Cluster.attach(arguments.state_dir).kubeconfig)


def _image(text: str) -> tuple[str, list[str]]:
    name, prefix = _assignment(text)
    return name, prefix.split()


def _assignment(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise DevclusterError(f"{text!r} is not of the form NAME=VALUE")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m devcluster", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, function, text in (
        ("up", up, "start a cluster in the background"),
        ("down", down, "stop it; its data stays unless --purge is given"),
        ("status", status, "say whether it runs and where"),
        ("kubeconfig", kubeconfig, "print the path of the administrator's kubeconfig"),
    ):
        command = commands.add_parser(name, help=text)
        command.set_defaults(function=function)
        command.add_argument("--state-dir", type=Path, default=Path(".devcluster"))
        if name == "up":
            command.add_argument("--no-agent", action="store_true", help="run no pods")
            command.add_argument("--no-gateway", action="store_true", help="no Contour and Envoy")
            command.add_argument("--image", action="append", default=[], metavar="PATTERN=COMMAND")
            command.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
        if name == "down":
            command.add_argument("--purge", action="store_true", help="delete the data as well")
    return parser


def main() -> int:
    arguments = _parser().parse_args()
    try:
        arguments.function(arguments)
    except DevclusterError as error:
        print(f"devcluster: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
