"""The history of documents: their last commits, their versions, and the revision that a time or a name means."""
