"""Guards of documents: which are in force, what they guard, and what their windows, protections and budgets hold. Pure."""
