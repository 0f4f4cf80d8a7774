"""Fixtures that every test may ask for.

`pytest tests/plans tests/refusals --update-golden` writes golden files anew; read the difference before you commit it.
"""

import pytest
from hypothesis import settings

pytest_plugins = ["tests.databases"]

# A loaded machine is slow; how long an example takes says nothing about whether it is right.
settings.register_profile("house", parent=settings(), deadline=None)
settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", default=False, help="Rewrite the golden files.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The virtual machines first: each takes minutes in which it mostly waits, and others can be tested beside it."""
    items.sort(key=lambda item: "tests/lab/" not in item.nodeid)


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("update_golden"))
