"""Kinds that describe and are not reconciled: sizes, images, partitions, projects, aggregates, reservations."""
