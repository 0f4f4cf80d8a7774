"""Guard: which changes of a fleet are allowed, when, and how many at once."""
