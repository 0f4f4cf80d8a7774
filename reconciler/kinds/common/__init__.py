"""What all kinds are made of: `Kind` itself, shared field types, how a BMC is reached, what is in a machine."""
