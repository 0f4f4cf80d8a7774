"""Where credentials come from: environment, file, command."""
