"""Estimates ages: of each photo, by inference; of each buyer, by matching; and of groups of buyers, by statistics."""
