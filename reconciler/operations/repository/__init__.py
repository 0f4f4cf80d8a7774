"""The files of a team: a new repository, the validation of one, and the demo's fleet."""
