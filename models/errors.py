"""errors: the model's exception for faults that a person can fix. Its message says what is wrong and how to fix it."""


class ModelInputError(Exception):
    """A command of the age model cannot use the given labels, photos, weights or options."""
