"""A plan, and what people said that changes one: access, overrides, pauses, restarts."""
