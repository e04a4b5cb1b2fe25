"""How far off a version is, and for whom: figures, pages and the model card."""
