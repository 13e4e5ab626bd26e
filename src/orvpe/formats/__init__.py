"""Readers of pose files: path -> clips.  One module a format; no torch here."""
