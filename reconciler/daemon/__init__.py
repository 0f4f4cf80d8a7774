"""The daemon: its threads, triggers and signals."""
