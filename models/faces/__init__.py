"""Photos of faces for training and tests: labelled photos, drawn faces, and faces pasted into drawn scenes."""
