"""Parts that all kinds share: `Kind` itself, field types, access to BMCs, hardware inventories."""
