"""The one kind of error that a person can cause and mend."""


class InputError(ValueError):
    """What is wrong, where, and what to do about it, in one line.

    The scripts print it as `error: …` and end with status 2.
    """


class ImageError(InputError):
    """A file that cannot be read as a photo."""
