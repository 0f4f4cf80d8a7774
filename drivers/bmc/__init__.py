"""Drivers of BMCs: `redfish`, and `fake` for tests and the demo."""
