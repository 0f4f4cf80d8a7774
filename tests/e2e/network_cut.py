"""A network between a daemon and its database, which can be cut: then nothing passes, and nothing ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import make_url


class NetworkCut:
    """Passes bytes on to the server of the store at `url`, whose socket is a file. While it is cut, connections are
    neither answered nor reset. What was sent meanwhile arrives afterwards, as TCP would repeat it."""

    def __init__(self, url: str) -> None:
        server = make_url(url)
        self._socket = Path(str(server.query["host"])) / ".s.PGSQL.5432"
        self._passes = threading.Event()
        self._passes.set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        port = self._listening.getsockname()[1]
        self.url = f"postgresql://postgres@127.0.0.1:{port}/{server.database}"
        threading.Thread(target=self._accept, daemon=True).start()

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Until the end of the block."""
        self._passes.clear()
        try:
            yield
        finally:
            self._passes.set()

    def _accept(self) -> None:
        while True:
            client, _ = self._listening.accept()
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._passes.wait()
        server = socket.socket(socket.AF_UNIX)
        with client, server:
            server.connect(str(self._socket))
            back = threading.Thread(target=self._pass_on, args=(server, client), daemon=True)
            back.start()
            self._pass_on(client, server)
            back.join()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(2**16):
                self._passes.wait()
                target.sendall(data)
        self._passes.wait()
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
