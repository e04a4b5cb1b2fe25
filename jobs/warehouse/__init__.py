"""Stages, publishes and reads the tables, one day at a time. Only this package accesses storage."""
