"""Reads git and files into a `DesiredState`, or into the list of everything that is wrong with them."""
