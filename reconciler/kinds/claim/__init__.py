"""MachineClaim: machines for a project, and claims under another name."""
