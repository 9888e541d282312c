"""A process that exports counters for Prometheus; started anew it begins at 0, as applications do.

    python prometheus_exporter.py PORT

GET /metrics shows the counters; POST /add with a JSON object {series: rise} lets them rise.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COUNTERS: dict[str, int] = {}


class Exporter(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer("".join(f"{series} {value}\n" for series, value in COUNTERS.items()))

    def do_POST(self) -> None:
        rises = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for series, rise in rises.items():
            COUNTERS[series] = COUNTERS.get(series, 0) + rise
        self._answer("")

    def _answer(self, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Exporter).serve_forever()
