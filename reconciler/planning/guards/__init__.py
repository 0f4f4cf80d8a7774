"""The guards of a plan: the built-in ones, those of documents, and their budgets. Pure."""
