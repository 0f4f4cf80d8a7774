"""MachineClaim: machines for a project, and the rename of claims."""
