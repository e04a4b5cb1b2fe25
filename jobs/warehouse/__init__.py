"""How a day of a table is staged, published and read: the only door to storage."""
