"""The TPM's arithmetic: pure functions over bytes and integers, no state of a TPM."""
