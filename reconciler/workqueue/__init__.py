"""The queue of due keys and the loop that steps them; `apply` and the daemon use the same."""
