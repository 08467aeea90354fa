"""The commands of `pef esm`, one a file."""
