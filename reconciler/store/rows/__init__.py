"""Reads and writes of the store's tables, with a module for each subject."""
