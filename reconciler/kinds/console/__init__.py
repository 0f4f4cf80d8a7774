"""Serial consoles of machines: how each is reached, who may use it, and whose it is. Pure."""
