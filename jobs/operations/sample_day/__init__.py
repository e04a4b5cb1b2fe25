"""A day of photos and receipts with known truth, for trying things out."""
