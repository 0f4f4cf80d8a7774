"""Network, IPAddress, Pool, Number: who holds what, who is next, and when nothing is left."""
