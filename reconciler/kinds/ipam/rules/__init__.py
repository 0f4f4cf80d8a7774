"""What follows from the differences of networks, addresses, pools and numbers."""
