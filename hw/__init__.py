"""Devices as state: bytes in, bytes out, no input or output of their own."""

if __name__ != "pefstack.hw":
    raise ImportError("import pefstack.hw, not hw")
