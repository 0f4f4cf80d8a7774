"""Serial consoles for people: one line, many watchers, one writer, a recording, and the SSH server before it."""
