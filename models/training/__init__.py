"""Labelled faces to a model version: weights, second opinion, calibration, int8."""
