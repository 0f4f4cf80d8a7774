"""What was seen of a simulated run, and the rules that judge it. Pure."""
