"""Machine: power, boot, its lifecycle, its labels, and who may have its login."""
