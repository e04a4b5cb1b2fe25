"""Evaluation: measures a version's errors by groups of people, and writes figures, pages and the model card."""
