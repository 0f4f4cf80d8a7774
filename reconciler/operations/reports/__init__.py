"""What people ask to see: resources, events, history, inventories, the IPAM, and explanations."""
