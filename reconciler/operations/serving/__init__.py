"""What runs until it is stopped: the daemon and the boot service, and the DHCP server's configuration."""
