"""Sources of desired state: a revision of a repository, the mirror of a remote, or a work tree on disk."""
