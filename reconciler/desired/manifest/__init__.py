"""A file to resources: YAML, schemas, validation, the cache of valid documents."""
