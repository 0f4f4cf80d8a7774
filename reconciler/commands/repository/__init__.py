"""Commands that create a repository (`init`), and the demo."""
