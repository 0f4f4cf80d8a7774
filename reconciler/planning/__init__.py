"""Makes a plan from desired, observed and recorded state: plan function, guards, overrides, admission. Pure."""
