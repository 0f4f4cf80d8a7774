"""Numbers with their nouns."""
