"""Fixtures that every test may ask for.

`pytest tests/plans tests/refusals --update-golden` writes golden files anew; read the difference before you commit it.
"""

import gc
import os
import signal

import pytest
from hypothesis import settings

from drivers.base.support import known_secrets

pytest_plugins = ["tests.databases"]

# In a hook, and in `git rebase --exec`, these name the repository of the project itself: a `git init` of a test would
# write there.
for _name in [name for name in os.environ if name.startswith("GIT_")]:
    del os.environ[_name]

# Under nohup a hangup is ignored, and in the background of a shell Ctrl-C. What a test starts would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

# A loaded machine is slow; how long an example takes says nothing about whether it is right.
# CI judges a commit: it tries the same examples each time, as a commit must not pass and then fail. All other runs try
# new ones, and what they find becomes a test.
settings.register_profile("house", parent=settings(), deadline=None, derandomize="CI" in os.environ)
settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", default=False, help="Rewrite the golden files.")


def pytest_runtest_setup() -> None:
    """No test hides the words that another one used as passwords, nor runs without garbage collection after a command.

    A command turns it off for its process, and what a test leaves open in a cycle of objects would stay open."""
    gc.enable()
    known_secrets._KNOWN = known_secrets.KnownSecrets()


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("update_golden"))
