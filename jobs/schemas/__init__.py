"""What a row of each table means: its grain, its key and its columns."""
