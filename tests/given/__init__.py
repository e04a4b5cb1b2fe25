"""Makers of rows, days, buyers and runs for tests."""
