"""Fixtures that every test may ask for."""

from hypothesis import settings

pytest_plugins = ["tests.databases"]

# A loaded machine is slow; how long an example takes says nothing about whether it is right.
settings.register_profile("house", parent=settings(), deadline=None)
settings.load_profile("house")
