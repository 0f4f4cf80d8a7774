"""Serial lines that are offered over SSH: dialects of vendors, the words with their shells, the driver."""
