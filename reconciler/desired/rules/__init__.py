"""Rules between documents, and the table of diagnostic codes."""
