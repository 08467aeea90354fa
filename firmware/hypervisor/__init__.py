"""The hypervisor of the machine: untrusted, here an honest KVM (docs/hypervisor.md)."""
