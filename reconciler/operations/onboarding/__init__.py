"""Operations that find machines, propose their documents, and adopt them."""
