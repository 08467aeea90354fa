"""The ultravisor: what runs above the hypervisor."""
