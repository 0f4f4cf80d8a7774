"""Commands that find machines, propose their documents, and adopt machines."""
