"""git: its command, its objects and its refs.

Wings: `sources/` is what is read, `history/` is who changed what, `branches/` is what is written.
"""
