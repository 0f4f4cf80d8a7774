"""Commands that run until they are stopped, and the DHCP configurations for network boot."""
