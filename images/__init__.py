"""Bytes <-> values: one format family a file."""

if __name__ != "pefstack.images":
    raise ImportError("import pefstack.images, not images")
