"""Test data: rows, days, buyers and runs."""
