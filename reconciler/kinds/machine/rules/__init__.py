"""Rules of machines: the actions and holds that follow from differences, and how each action changes the facts."""
