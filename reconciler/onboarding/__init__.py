"""Finding machines: BMC discovery, undeclared machines, inventories compared, proposals. Pure."""
