"""Switches: their ports, and the networks in which these are."""
