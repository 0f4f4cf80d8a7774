"""The HTTP servers of the boot service: listener, TLS, application, and the server with all parts."""
