"""The hypervisor: untrusted, honest or hostile (docs/hypervisor.md, docs/relay.md)."""
