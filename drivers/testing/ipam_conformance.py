"""What every IPAM driver does: inherit from IpamConformance, say how an empty IPAM is had, and run pytest.

    class TestMine(IpamConformance):
        @classmethod
        def start(cls, request: pytest.FixtureRequest) -> AbstractContextManager[Ipam]:
            return an_empty_ipam(request.getfixturevalue("tmp_path"))

A message is held to name what it is about, such as the owner that holds an address, and to no wording.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import ClassVar

import pytest

from drivers.base import Ipam
from drivers.testing.ipam_addresses import AddressSuite
from drivers.testing.ipam_children import ChildSuite
from drivers.testing.ipam_networks import NetworkSuite

IPAM_FEATURES = frozenset({"reserved", "namespaces", "order", "usage", "empty", "whole"})
"""What an IPAM may lack: reserved space in a prefix; networks that overlap in two namespaces; prefixes that are taken
from in the order of the network; figures of how full each prefix is; networks without a prefix; and children that are
the whole of a container's prefix."""


class IpamConformance(NetworkSuite, AddressSuite, ChildSuite):
    """The suite. A subclass whose name begins with Test is run. `has`: what the IPAM has of IPAM_FEATURES; the tests of
    what it lacks are skipped."""

    has: ClassVar[frozenset[str]] = IPAM_FEATURES

    @classmethod
    def start(cls, request: pytest.FixtureRequest) -> AbstractContextManager[Ipam]:
        """An IPAM without networks, for one test. `request`: pytest's, for fixtures of your own."""
        raise NotImplementedError

    @pytest.fixture
    def ipam(self, request: pytest.FixtureRequest) -> Iterator[Ipam]:
        """What `start` gives. After the test the IPAM's own rules must hold."""
        with self.start(request) as opened:
            yield opened
            assert opened.check() == []

    @pytest.fixture
    def needs_reserved(self) -> None:
        """Skips the test where the IPAM lacks it."""
        self._needs("reserved")

    @pytest.fixture
    def needs_namespaces(self) -> None:
        """Skips the test where the IPAM lacks it."""
        self._needs("namespaces")

    @pytest.fixture
    def needs_order(self) -> None:
        """Skips the test where the IPAM lacks it."""
        self._needs("order")

    @pytest.fixture
    def needs_usage(self) -> None:
        """Skips the test where the IPAM lacks it."""
        self._needs("usage")

    @pytest.fixture
    def needs_empty(self) -> None:
        """Skips the test where the IPAM lacks it."""
        self._needs("empty")

    @pytest.fixture
    def needs_whole(self) -> None:
        """Skips the test where the IPAM lacks it."""
        self._needs("whole")

    def _needs(self, feature: str) -> None:
        if feature not in self.has:
            pytest.skip(f"the IPAM lacks {feature}")
