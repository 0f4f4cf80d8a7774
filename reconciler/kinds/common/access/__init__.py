"""Access to endpoints: credentials, and the networks in which BMCs may be."""
