"""What people ask of a running daemon through the store: look now, restart, pause, override, rewind."""
