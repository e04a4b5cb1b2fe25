"""Evaluation: the errors of a model version, by group of people: figures, pages and the model card."""
