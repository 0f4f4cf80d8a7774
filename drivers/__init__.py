"""How endpoints are spoken to: BMCs, the IPAM, secret sources."""
