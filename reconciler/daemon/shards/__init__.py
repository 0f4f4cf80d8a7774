"""The BMCs and switches of a fleet, attended to by several daemons: one decides, and the others reach endpoints."""
