"""What the boot service knows and decides of machines: which one asks, and what that one is to do."""
