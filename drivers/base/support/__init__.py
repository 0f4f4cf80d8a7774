"""Helpers for all drivers: errors, cleaned text, hidden secrets, back-off after a refused login, scheduling."""
