"""The verbs of `pef`, one a file."""
