"""Inference: photo bytes to the age distribution of the face. The nightly job loads nothing else of `models`."""
