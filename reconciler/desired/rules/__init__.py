"""Rules that compare several documents, and the table of diagnostic codes."""
