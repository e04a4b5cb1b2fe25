"""How a day of a table is staged, published and read. Only this wing touches storage."""
