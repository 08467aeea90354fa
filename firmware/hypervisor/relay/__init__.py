"""The hypervisor between ultravisor and TPM: honest, or with an attack (esm.md 4.3)."""
