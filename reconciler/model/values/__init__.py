"""Small independent values: address ranges, UUIDs, boot purposes, redacted text."""
