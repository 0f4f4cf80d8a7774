"""Who works on a store, and until when."""
