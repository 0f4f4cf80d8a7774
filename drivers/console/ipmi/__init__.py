"""IPMI 2.0 Serial over LAN: RMCP+ sessions of our own, cipher suites 3 and 17."""
