"""ESM operands of version 2: made, found in images, re-authorised, checked."""
