"""The embedded IPAM on the store's database, and NetBox."""
