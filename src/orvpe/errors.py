"""The two exceptions of our own: "the input is wrong, and here is what to change", and "stopped as you asked"."""


class InputError(ValueError):
    """Bad input from a person: a file, a value, an option.

    The message is one line that names the file or parameter, the value found and what was expected.  The command
    line prints it without a traceback and exits with code 2; in Python it is an ordinary ``ValueError``.
    """


class Interrupted(Exception):
    """A run that was asked to stop and has saved its state.  ``signal`` is the number that asked."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.signal = number
