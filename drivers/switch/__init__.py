"""Switches: a fake, for tests and demos."""
