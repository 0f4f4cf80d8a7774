"""Drivers and the store to observations: poller, inventories, the search for BMCs, connections."""
