"""The nightly pipeline: one module per table, and packages that read, estimate, store, check, report and operate."""
