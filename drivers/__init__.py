"""Drivers of endpoints: BMCs, the IPAM, sources of credentials."""

import atexit
import gc

# Python looks for garbage once more as it ends. msgspec then frees what it knows of the types of structs in any order,
# and one process in ten ended with a segmentation fault, its work done (msgspec 0.22, TypeNode_Free). What is frozen is
# left out, and memory goes back whole.
atexit.register(gc.freeze)
