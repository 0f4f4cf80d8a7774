"""How an endpoint is reached: credentials, and the networks where BMCs may be."""
