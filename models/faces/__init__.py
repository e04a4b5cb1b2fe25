"""Photos of faces for training and tests: labelled, synthetic, and pasted into drawn scenes."""
