"""A TPM for other programs: the mssim and swtpm protocols over TCP (tpm.md 8)."""
