"""Paths of a container become real paths exactly where they begin a value."""

import pytest

from devcluster.agent.rewriting import Rewriter

REWRITE = Rewriter({"/data": "/real/volume", "/data/cache/": "/real/cache", "/dev/termination-log": "/real/log"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/data", "/real/volume"),
        ("/data/", "/real/volume/"),
        ("/data/a.txt", "/real/volume/a.txt"),
        ("/data/cache/x", "/real/cache/x"),
        ("file:///data/a", "file:///real/volume/a"),
        ("sqlite:////data/a.db", "sqlite:////real/volume/a.db"),
        ("--output=/data/a", "--output=/real/volume/a"),
        ('{"uri": "/data", "n": 1}', '{"uri": "/real/volume", "n": 1}'),
        ("uri: '/data/a'", "uri: '/real/volume/a'"),
        ("cat /data/a >/dev/termination-log", "cat /real/volume/a >/real/log"),
        ("/bin:/data", "/bin:/real/volume"),
    ],
)
def test_a_mounted_path_is_replaced(text: str, expected: str) -> None:
    assert REWRITE(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "/database", "/data.txt", "/home/data", "s3://bucket/data/a", "http://host/data", "x/data", "./data", "/dat"],
)
def test_everything_else_stays(text: str) -> None:
    assert REWRITE(text) == text


def test_without_mounts_nothing_changes() -> None:
    assert Rewriter({"/": "/real"})("/data") == "/data"
