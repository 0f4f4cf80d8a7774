"""What recorded machines can do with groundstate, each as the profile of a simulated BMC."""
