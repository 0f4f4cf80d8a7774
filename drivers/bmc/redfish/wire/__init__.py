"""How Redfish is spoken: HTTP, TLS, logins and sessions, and what an error answer means."""
