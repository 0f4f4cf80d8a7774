"""The Redfish protocol: HTTP, TLS, logins, sessions, and the errors that a BMC returns."""
