"""The plan, and what changes a plan from outside: access, overrides, pauses, restarts."""
