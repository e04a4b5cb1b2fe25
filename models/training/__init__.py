"""Training: labelled faces to a model version with weights, second opinion, calibration and int8 network."""
