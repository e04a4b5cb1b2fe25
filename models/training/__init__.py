"""Training: makes a model version from labelled faces: weights, second opinion, calibration and int8 network."""
