"""The commands that cli.py registers: each wires a few parts together and prints what they say."""
