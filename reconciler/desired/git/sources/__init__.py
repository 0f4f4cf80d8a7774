"""Sources of desired state: a revision of a repository or of the mirror of a remote, or a work tree on disk."""
