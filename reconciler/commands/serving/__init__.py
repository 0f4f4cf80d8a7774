"""Commands that run until they are stopped: the daemon, with the boot service, and what DHCP needs."""
