"""The requests of machines and their agents, and the replies."""
