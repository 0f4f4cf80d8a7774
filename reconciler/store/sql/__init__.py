"""The two databases: connections, tables, dialects, migrations, and grouped commits."""
