"""The IPAM in the store's own database."""
