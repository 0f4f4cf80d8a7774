"""Many simulated BMCs: what they do wrong on order, and how they are reached."""
