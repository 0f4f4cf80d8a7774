"""The engine of simulated BMCs: systems and BMCs as values, and the ways to speak to them."""
