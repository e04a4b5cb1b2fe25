"""One file per table: how its rows are made from the rows of other tables."""
