"""Writes to git: branches that propose documents, and a new repository."""
