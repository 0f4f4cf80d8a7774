"""Values that endpoints report: power, hardware, tasks, MAC addresses."""
