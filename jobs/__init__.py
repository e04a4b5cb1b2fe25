"""The nightly pipeline: one module per table, and the wings that land, estimate, store, check, report and operate."""
