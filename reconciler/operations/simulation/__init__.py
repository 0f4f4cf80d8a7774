"""The whole daemon under one seed: virtual time, faults and kills, and what must hold at every step."""
