"""What endpoints report, as values: power, hardware, tasks, MAC addresses."""
