"""Types of fields that several kinds have: durations, references, selectors, access to a BMC."""
