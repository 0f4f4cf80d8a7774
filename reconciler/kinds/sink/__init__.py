"""EventSink: where events are sent, which ones, and when. Pure."""
