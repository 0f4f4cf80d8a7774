"""A managed machine's phases, from discovery to release: facts, steps, events, boot media, cloud-init."""
