"""What is kept, in a database: SQLite inside the process, PostgreSQL beside it."""
