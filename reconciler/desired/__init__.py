"""git and files to a `DesiredState`, or to everything that is wrong with them."""
