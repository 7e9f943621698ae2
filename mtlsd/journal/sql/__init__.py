"""The journal in SQL: one file of SQLite for one node, or PostgreSQL for several."""
