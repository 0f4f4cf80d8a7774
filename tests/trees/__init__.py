"""What recorded machines can do with groundstate, each behind a service that replays it and takes writes."""
