"""The two databases: connections, tables, dialects, migrations, and commits that are grouped."""
