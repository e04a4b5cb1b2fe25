"""The age model: from a photo to the probability of each year of age. It does not depend on `jobs`."""
