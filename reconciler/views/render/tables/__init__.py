"""Renders tables and trees: machines, sizes, guards, placements, history."""
