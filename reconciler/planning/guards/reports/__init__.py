"""What people are shown of guards: what one guard is, and what each guard says of a resource. Pure."""
