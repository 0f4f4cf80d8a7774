"""Tables and trees of what is there: machines, sizes, guards, placements, history."""
