"""A simulated switch with faults on request."""
