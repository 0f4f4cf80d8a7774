"""What can be done: a closed union of actions, by who carries them out."""
