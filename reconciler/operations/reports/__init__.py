"""Operations that show: resources, events, history, inventories, the IPAM, and explanations."""
