"""The relay out of the namespace of a rootless cluster."""

import asyncio
import gc
from pathlib import Path

from devcluster import rootless
from devcluster.layout import Facts, Layout
from devcluster.ports import choose_facts

SIZE = 8 * 1024 * 1024


async def _upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Stands for a server inside: answers in upper case after the end of the request."""
    writer.write((await reader.read()).upper())
    await writer.drain()
    writer.close()


async def _ask(layout: Layout, facts: Facts, text: bytes) -> bytes:
    relays = await rootless.serve_inside(layout, facts)
    server = await asyncio.start_server(_upper, "127.0.0.1", facts.api_port)
    path = layout.sockets / f"{facts.api_port}.sock"
    with rootless._short_name(path) as name:
        reader, writer = await asyncio.open_unix_connection(name)
    writer.write(text)
    writer.write_eof()
    # The answer is larger than every buffer on the way: the relay has to wait for this reader.
    await asyncio.sleep(0)
    gc.collect()
    answer = await reader.read()
    writer.close()
    for listening in [*relays, server]:
        listening.close()
    return answer


def test_large_answers_pass_through_a_socket_with_a_long_name(tmp_path: Path) -> None:
    layout = Layout(tmp_path / ("long" * 30))
    layout.create()

    answer = asyncio.run(_ask(layout, choose_facts(layout, 0), b"x" * SIZE))

    assert answer == b"X" * SIZE
