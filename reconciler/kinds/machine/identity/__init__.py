"""Which system a machine is: what its BMC reports, beside what was recorded of it and of other machines. Pure."""
