"""The Protocols of drivers, by capability: BMC, IPAM, pools, secrets; and the options of a driver."""
