"""What people see: columns, conditions, and `render/`. Pure."""
