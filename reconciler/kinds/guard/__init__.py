"""Guard: what may be done to a fleet, when, and how much of it at once."""
