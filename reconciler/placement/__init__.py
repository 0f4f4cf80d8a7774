"""Which machine a claim gets, and why: filters, scoring, quotas, reservations, capacity. Pure."""
