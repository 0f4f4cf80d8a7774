"""Network, IPAddress, Pool, Number: allocations, their order, and exhaustion."""
