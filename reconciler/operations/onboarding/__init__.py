"""How machines are found, proposed as documents, and adopted."""
