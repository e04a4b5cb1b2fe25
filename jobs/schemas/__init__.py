"""The meaning of each table: what one row is, its key and its columns."""
