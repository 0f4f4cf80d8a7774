"""Reports of guards for people: what a guard is, and what each guard says of a resource. Pure."""
