"""The age network, from photo bytes to a calibrated distribution over years of age."""
