"""The boot service: both listeners, from start to stop."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from reconciler.kinds.machine.lifecycle.virtual_media import IMAGE
from reconciler.services.boot import cd_image
from reconciler.services.boot.agent_tokens import Tokens
from reconciler.services.boot.boot_settings import BootError, BootSettings, url_host
from reconciler.services.boot.handlers.request_context import Places, RequestContext
from reconciler.services.boot.http import app, tls
from reconciler.services.boot.http.listener import Listener
from reconciler.services.boot.image_files import Files
from reconciler.services.boot.rate_limit import PacedLog
from reconciler.services.provisioning_port import Provisioning


class BootServer:
    """Serves in threads of its own, from `start` (or as a context) on. `files` give out URLs of it then.

    Raises BootError where it is made, when it cannot listen, or its certificate cannot be had; OSError.
    """

    def __init__(
        self,
        settings: BootSettings,
        provisioning: Provisioning,
        tokens: Tokens,
        files: Files,
        now: Callable[[], datetime],
        log: Any,
        ended: Callable[[BaseException], None] = lambda _error: None,
    ) -> None:
        """`ended`: is informed of an error that ended a thread of the server."""
        if (settings.cert is None) != (settings.key is None):
            raise BootError("give both --boot-cert and --boot-key, or neither")
        if settings.cert is not None and settings.key is not None:
            self.identity = tls.given_identity(settings.cert, settings.key)
        else:
            self.identity = tls.own_tls_identity(settings.folder, settings.address, now())
        log = PacedLog(log, now)
        context = RequestContext(settings, provisioning, tokens, files, now, log, lambda: self.places)
        places, limits = settings.listen, settings.limits
        pair = (str(self.identity.cert), str(self.identity.key))
        self._http = Listener("http", (places, settings.http_port), app.boot_pages(context), limits, log, ended=ended)
        try:
            self._https = Listener(
                "https", (places, settings.https_port), app.agent_pages(context), limits, log, pair, ended
            )
        except BootError:
            self._http.stop()
            raise
        name = url_host(settings.address)
        self.places = Places(
            http=f"http://{name}:{self._http.port}",
            https=f"https://{name}:{self._https.port}",
            pin=self.identity.pin,
        )
        """Where machines reach it."""
        files.serve_from(self.places.http)
        if settings.media is not None:
            cd_image.write_image(
                settings.media, settings.folder / IMAGE, f"{settings.arguments} gs.boot={self.places.http}"
            )

    def start(self) -> None:
        """Serve."""
        self._http.start()
        self._https.start()

    def stop(self) -> None:
        """Stop; what is in hand is given a few seconds."""
        self._http.stop()
        self._https.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
