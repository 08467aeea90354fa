"""A TPM 2.0: bytes of a command in, bytes of a response out (tpm.md)."""
