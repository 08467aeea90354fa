"""The modelled guest: its images in memory and its early boot (docs/hypervisor.md)."""
