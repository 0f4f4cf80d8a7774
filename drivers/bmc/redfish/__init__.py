"""The Redfish driver: one module for each capability."""
