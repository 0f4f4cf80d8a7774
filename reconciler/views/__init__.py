"""Texts and tables for people: columns, conditions, and `render/`. Pure."""
