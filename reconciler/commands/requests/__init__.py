"""Commands that ask a running daemon, through the store: reconcile, restart, pause, override, rewind."""
