"""How a machine's BMC is reached: credentials, and the networks where BMCs may be."""
