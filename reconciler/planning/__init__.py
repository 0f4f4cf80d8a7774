"""From desired, observed and remembered to a plan: the plan function, guards, overrides, admission. Pure."""
