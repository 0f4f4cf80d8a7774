"""Serial consoles: who gets in, what is shown to whom, and what is recorded."""
