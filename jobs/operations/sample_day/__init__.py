"""Generates a day of photos and receipts with known ages and faults, for trials and tests."""
