"""What machines and people talk to: boot service, health, metrics, logs."""
