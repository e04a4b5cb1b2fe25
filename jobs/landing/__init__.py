"""What the stores delivered, as a night may read it: listed, parsed, judged, and without erased people."""
