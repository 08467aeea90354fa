"""Random bytes of the operating system, for what is sealed."""

from __future__ import annotations

import secrets


class SystemRandom:
    """A `Stream` that nobody can foresee."""

    def random_bytes(self, count: int) -> bytes:
        """``count`` bytes."""
        return secrets.token_bytes(count)
