"""errors: faults that a person can fix. A message is one sentence with the thing, the value and the way out."""


class ModelInputError(Exception):
    """A command of the age model cannot use these labels, photos, weights or options."""
