"""Fields and key lines of serial consoles, which several kinds share. Pure."""
