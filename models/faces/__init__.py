"""Photos of faces to learn and try on: labelled, synthetic, and pasted into drawn scenes."""
