"""Errors of the tool layer."""

from pefstack.images.errors import PefError


class UsageError(PefError):
    """The command line or a machine file is wrong; the message says where and how."""
