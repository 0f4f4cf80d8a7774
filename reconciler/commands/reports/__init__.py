"""Commands that show: get, events, history, inventory, ipam, status, and the explanations."""
