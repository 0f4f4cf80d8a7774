"""A power strip that takes `status N`, `on N` and `off N` over TCP, a line each: something real to speak to."""

from __future__ import annotations

import socketserver
import threading
from types import TracebackType
from typing import Self


class Strip:
    """A context: the strip is reachable within it. `on`: the outlets that are switched on."""

    def __init__(self) -> None:
        self.on: set[int] = set()
        strip = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(strip.answer(self.rfile.readline().decode()).encode() + b"\n")

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def answer(self, line: str) -> str:
        """Do what a line says."""
        command, outlet = line.split()[0], int(line.split()[1])
        if command == "status":
            return "on" if outlet in self.on else "off"
        (self.on.add if command == "on" else self.on.discard)(outlet)
        return "done"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
