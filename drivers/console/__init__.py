"""Serial consoles: IPMI Serial over LAN, SSH, TCP and unix sockets, and a fake."""
