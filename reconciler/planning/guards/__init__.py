"""What a plan may do at once: the guards that are always there, those of documents, and their budgets. Pure."""
