"""What pages of the documentation quote is real: `python -m retrainer.experiment_tool.pages docs/PAGE.md …` runs the
commands that a page quotes (from the root of the repository) and computes its table of settings anew."""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from retrainer.experiment_tool import cli, which_settings

_QUOTED = re.compile(r"^```\n\$ retrainer (experiment [^\n|]+)(\| tail -n 1)?\n(.*?)\n?^```$", re.MULTILINE | re.DOTALL)


def quoted(page: str) -> Iterator[tuple[str, str]]:
    """The commands of a page with the output that it shows."""
    for match in _QUOTED.finditer(page):
        yield _command(match), match[3]


def output_of(command: str) -> str:
    """What a quoted command prints now; raises RuntimeError where it fails."""
    words, _, tail = command.partition("|")
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = cli.run(parser.parse_args(shlex.split(words)[2:]))
    if code:
        raise RuntimeError(f"{command} ended with exit code {code}")
    lines = printed.getvalue().rstrip().splitlines()
    return "\n".join(lines[-1:] if tail else lines)


def refreshed(page: str) -> str:
    """The page with the outputs that its commands print now, and its table of settings computed."""
    page = _QUOTED.sub(lambda match: f"```\n$ {_command(match)}\n{output_of(_command(match))}\n```", page)
    if which_settings.BEGIN in page:
        page = which_settings.with_table(page, which_settings.computed())
    return page


def _command(match: re.Match[str]) -> str:
    return f"retrainer {match[1]}{match[2] or ''}".rstrip()


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(refreshed(path.read_text(encoding="utf-8")), encoding="utf-8")
