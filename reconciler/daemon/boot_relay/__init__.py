"""Boot services of daemons that do not decide: what they ask of the one that decides, and its replies."""
