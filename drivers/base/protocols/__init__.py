"""What a driver offers, by capability: a BMC's, an IPAM's, pools, secrets; and the options that it takes."""
