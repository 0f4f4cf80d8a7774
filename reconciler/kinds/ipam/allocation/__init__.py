"""Which addresses, prefixes and numbers are free, taken or in conflict."""
