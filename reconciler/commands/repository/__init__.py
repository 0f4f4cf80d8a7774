"""Commands that make a repository: a new one, and the demo's."""
