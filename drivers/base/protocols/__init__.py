"""The Protocols of drivers, by capability: BMC, console, IPAM, pools, secrets; and the options of a driver."""
