"""How they ask: the listener, TLS, the application, and the server that holds all parts."""
