"""What is to happen in a simulated run: what is declared when, and what goes wrong."""
