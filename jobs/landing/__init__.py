"""What the stores delivered, as a night may read it: listed, parsed, judged, and without whom was erased."""
