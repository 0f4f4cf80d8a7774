"""What people see of switches: columns, the table and the tree of ports, and proposed cabling."""
