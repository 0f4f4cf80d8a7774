"""Interfaces to machines and people: boot service, health, metrics, logs."""
