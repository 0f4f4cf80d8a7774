"""Renders plans and tables as text. Pure."""
