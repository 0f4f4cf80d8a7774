"""The commands that cli.py registers: each reads its options, calls an operation, and prints the result."""
