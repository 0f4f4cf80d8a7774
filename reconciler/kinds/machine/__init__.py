"""Machine: power, boot, lifecycle, labels, and access to its BMC."""
