"""What a machine that boots asks of a boot service: the script of the machine, and then the requests of the agent."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import Any, NamedTuple

from tests.e2e.desk import until


class BootAnswer(NamedTuple):
    """What the service said; status 0: nothing."""

    status: int
    text: str


class AgentClient:
    """The machine of this UUID and MAC address, which reaches the service at `http`, such as `http://127.0.0.1:9809`."""

    def __init__(self, http: str, uuid: str, mac: str) -> None:
        self.http, self._uuid, self._mac = http, uuid, mac
        self.ticket: dict[str, str] = {}
        self.session = ""

    def script(self) -> BootAnswer:
        """The script of the machine."""
        return _answer("GET", f"{self.http}/boot/{self._uuid}?mac={self._mac}")

    def boot(self) -> None:
        """Ask for the script until it leads to the agent, as iPXE does."""
        lines = until(
            lambda: [line for line in self.script().text.splitlines() if line.startswith("kernel ")],
            "a script with the agent",
            lambda: str(self.script()),
        )
        self.ticket = dict(word.partition("=")[::2] for word in lines[0].split() if "=" in word)

    def register(self, inventory: dict[str, Any] | None = None) -> BootAnswer:
        """Show the token of the script, once."""
        body = {
            "order": self.ticket["gs.order"],
            "uuid": self._uuid,
            "macs": [self._mac],
            "agent": "1.0",
            "inventory": inventory or {},
        }
        answer = self.call("POST", "register", self.ticket["gs.token"], body)
        if answer.status == 200:
            self.session = json.loads(answer.text)["session"]
        return answer

    def registered(self) -> BootAnswer:
        """The same, until there is an answer that is final."""

        def asked() -> BootAnswer | None:
            answer = self.register()
            return answer if 0 < answer.status < 500 else None

        return until(asked, "an answer to the registration")

    def insist(self, method: str, page: str, body: Any = None) -> BootAnswer:
        """Ask with the session until there is an answer that is final, as the agent does."""

        def asked() -> BootAnswer | None:
            answer = self.call(method, page, self.session, body)
            return answer if 0 < answer.status < 500 else None

        return until(asked, f"an answer to {method} {page}")

    def phone_home(self, url: str) -> BootAnswer:
        """The installed system reports that it is up."""
        return _answer("POST", url, body={})

    def call(self, method: str, page: str, token: str, body: Any = None) -> BootAnswer:
        """One request of the agent."""
        return _answer(method, f"{self.ticket['gs.api']}/agent/v1/{page}", token, body)


def _answer(method: str, url: str, token: str = "", body: Any = None) -> BootAnswer:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = None if body is None else json.dumps(body).encode()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as reply:
            return BootAnswer(reply.status, reply.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        return BootAnswer(error.code, error.read().decode())
    except OSError as error:
        return BootAnswer(0, str(error))
