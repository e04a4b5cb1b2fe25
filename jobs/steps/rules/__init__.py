"""The rules that a night is held to, and the database that they are asked in."""
