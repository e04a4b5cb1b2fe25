"""A day of photos and receipts whose truth is known, for trials and tests."""
