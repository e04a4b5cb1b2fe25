"""Inference: estimates the age distribution of the face in a photo. The nights load nothing else of `models`."""
