"""Operations that run until they are stopped (daemon, boot service), and the DHCP server's configuration."""
