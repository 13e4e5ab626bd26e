"""The command line: commands, their arguments, recipes."""
