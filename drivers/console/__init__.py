"""Serial consoles: IPMI Serial over LAN, TCP and unix sockets, and a fake."""
