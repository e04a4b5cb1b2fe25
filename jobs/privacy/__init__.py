"""Erasing a person from all data, with a proof, and deleting photos when their retention period ends."""
