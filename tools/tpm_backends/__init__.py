"""Other people's TPMs behind our interface (tpm.md 9)."""
