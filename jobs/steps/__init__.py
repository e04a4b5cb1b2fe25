"""Steps of a night and of a window that build no table, and the order in which all steps run."""
