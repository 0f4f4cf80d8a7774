"""Commands that write requests for the daemon into the store: reconcile, restart, pause, override, rewind."""
