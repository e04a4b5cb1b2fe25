"""errors: what a person can mend, said in one sentence that names the thing, the value and the way out."""


class ModelInputError(Exception):
    """Labels, photos, weights or options that a command of the age model cannot work with."""
