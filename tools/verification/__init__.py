"""Verify the containers of a file or a machine, without booting."""
