"""Bootable images from a description, one recipe a file."""
