"""Small values that stand alone: address ranges, UUIDs, boot purposes, redacted text."""
