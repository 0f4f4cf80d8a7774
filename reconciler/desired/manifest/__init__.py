"""Reads one file into resources: YAML, schemas, validation, the cache of valid documents."""
