"""A simulated BMC with faults on request, for tests and the demo."""
