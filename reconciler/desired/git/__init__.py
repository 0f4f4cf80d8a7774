"""git as the source: revisions, commits, blame, mirrors, work trees, proposal branches."""
