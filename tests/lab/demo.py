"""`./dev demo --vm`: a virtual machine's whole life, with its serial line, in a few minutes.

Runs in the lab's private world and leaves nothing behind.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.lab.fleet import LabFleet
from tests.lab.lab_world import Lab, Late

SHOWN = re.compile(r"(groundstate-agent:|INSTALLED-OS|iPXE 1|Booting from|EFI stub: Loaded)[^\r\n]*")
COLOURS = {"title": "1", "event": "36", "serial": "2", "failed": "31"}


class Teller:
    """Prints what happens as it happens: the ledger's events, and the lines of the serial line that tell something."""

    def __init__(self, fleet: LabFleet) -> None:
        self._fleet = fleet
        self._begun = time.monotonic()
        self._stop = threading.Event()
        self._told = 0
        self._read = 0
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def title(self, text: str) -> None:
        say("title", f"\n== {text}")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def _follow(self) -> None:
        while not self._stop.wait(1.0):
            self.show()

    def show(self) -> None:
        """What is new since the last time."""
        events = self._fleet.events()
        for event in events[self._told :]:
            about = (event.get("key") or {}).get("name", "")
            say("event", f"{self._seconds()}  {event['reason']:16} {about:6} {event['message'][:110]}")
        self._told = len(events)
        text = self._fleet.lab.serial(0)
        complete = text[self._read :].rpartition("\n")[0]
        for found in SHOWN.finditer(complete):
            say("serial", f"{self._seconds()}  m0 serial | {found.group(0)[:120]}")
        self._read += len(complete)

    def _seconds(self) -> str:
        return f"{time.monotonic() - self._begun:5.0f} s"


def say(colour: str, text: str) -> None:
    """A line; in colour on a terminal alone."""
    line = f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if sys.stdout.isatty() else text
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def show(fleet: LabFleet, *words: str, codes: tuple[int, ...] = (0,)) -> None:
    """A command as a person would type it, and what it prints."""
    say("title", f"$ groundstate {' '.join(words)}")
    sys.stdout.write(fleet.ask(*words, codes=codes))


def walk(fleet: LabFleet, teller: Teller) -> None:
    """From an address in git to a running system, and back."""
    teller.title("1. A daemon with its boot service; a commit adds a BMC")
    fleet.start()
    teller.start()
    fleet.commit("Add m0", m0=fleet.machine(0))
    sys.stdout.write(fleet.machine(0))
    fleet.wait_phase(0, "Available", 300)
    teller.title("2. It started the agent once: its inventory, the switch beside it, the size that fits")
    show(fleet, "inventory", "m0")
    show(fleet, "get", "machines", "-o", "wide")
    teller.title("3. A commit claims one machine of that size, with an image, an address and a key")
    fleet.commit("Claim one", web=fleet.claim())
    fleet.wait_phase(0, "Running", 400)
    show(fleet, "get", "claims")
    show(fleet, "capacity")
    teller.title("4. The claim is taken out of git: stopped, wiped with proof, back in the pool")
    fleet.commit("Give it back", web=None)
    fleet.wait_phase(0, "Available", 400)
    teller.show()
    blank = subprocess.run(["cmp", "-n", str(2 << 30), str(fleet.lab.machine(0).disk), "/dev/zero"], check=False)
    say("title", f"The disk is {'all zeroes' if blank.returncode == 0 else 'NOT EMPTY'}, read from outside.")


def main() -> int:
    """Play it."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="groundstate-vm-") as name, Lab(Path(name)) as lab:
        fleet = LabFleet(lab)
        teller = Teller(fleet)
        try:
            walk(fleet, teller)
        except (Late, AssertionError) as late:
            say("failed", f"it did not go as it should: {late}")
            return 1
        except KeyboardInterrupt:
            say("failed", "stopped; nothing is left behind")
            return 1
        finally:
            teller.stop()
    say("title", f"\nDone in {time.monotonic() - begun:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
