"""Texts for readers: plans, and tables of what is there. Pure."""
