"""What every driver uses: errors, cleaned text, hidden secrets, back-off after a refused login, and scheduling."""
