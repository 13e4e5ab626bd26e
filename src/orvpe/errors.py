"""The one exception that means "the input is wrong, and here is what to change"."""


class InputError(ValueError):
    """Bad input from a person: a file, a value, an option.

    The message is one line that names the file or parameter, the value found and what was expected.  The command
    line prints it without a traceback and exits with code 2; in Python it is an ordinary ``ValueError``.
    """
