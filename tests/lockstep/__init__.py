"""One generated command after the other to several TPMs at once, answers compared."""
