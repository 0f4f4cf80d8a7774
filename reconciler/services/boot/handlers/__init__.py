"""What a machine and its agent ask for, and what they get."""
