"""The conformance suites, for whoever writes a driver: a class to inherit from, run with pytest.

Shown in docs/architecture.md, "Add a driver". Nothing of groundstate imports this; it needs pytest, which groundstate
does not install.
"""
