"""Sources of credentials: environment, file, command."""
