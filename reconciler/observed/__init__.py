"""Observes BMCs and the IPAM: poller, inventories, the search for BMCs, connections."""
