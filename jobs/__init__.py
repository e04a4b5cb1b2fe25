"""The night: one module per table, and the edges they stand on."""
