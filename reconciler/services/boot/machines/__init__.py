"""The machines of the boot service: which machine a request comes from, and what that machine must do."""
