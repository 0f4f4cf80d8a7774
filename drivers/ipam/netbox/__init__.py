"""The IPAM in a NetBox."""
