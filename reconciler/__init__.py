"""The reconciler: from git's desired state and what is observed to plans and actions."""
