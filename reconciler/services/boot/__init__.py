"""The boot service: what a machine starts from the network with, and where its agent reports.

Nothing is imported here: the command line reads `dhcp`, the daemon alone needs `server`.
"""
