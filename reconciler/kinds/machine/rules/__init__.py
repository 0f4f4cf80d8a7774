"""What follows from a machine's differences: actions and holds, and how its facts change by them."""
