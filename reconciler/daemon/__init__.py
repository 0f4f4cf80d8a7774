"""Threads, triggers and signals: what makes the parts a service."""
