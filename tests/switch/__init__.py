"""Switches: their drivers against real parts in namespaces, and what follows from them."""
