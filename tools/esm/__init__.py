"""ESM blobs as a customer makes and changes them; no terminal, no option."""
