"""The untrusted hypervisor: what it does with what passes through it."""
