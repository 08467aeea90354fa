"""Sign a content into a container."""

from __future__ import annotations

from pefstack.hw.mapping import SettingError
from pefstack.images.signing import KeySet, SigningOptions, sign_header
from pefstack.tools.builders.content import key_set
from pefstack.tools.builders.spec import ContainerSpec


def signed_header(
    payload: bytes,
    spec: ContainerSpec,
    keys: KeySet,
    label: str,
    unprotected_size: int = 0,
) -> bytes:
    """The 4096-byte header over a protected payload, labelled as asked or by place.

    ``unprotected_size`` bytes will follow the payload.
    """
    signing = keys if spec.keys is None else key_set(spec.keys)
    if len(signing.software) < spec.sw_keys:
        found = f"{len(signing.software)} keys"
        key = f"{label}.container.sw-keys"
        raise SettingError(key, f"found {found}, expected {spec.sw_keys}")
    options = SigningOptions(
        label=spec.label or label,
        sw_key_count=spec.sw_keys,
        code_start_offset=spec.entry,
        security_version=spec.security_version,
        hw_flags=spec.hw_flags,
        sw_flags=spec.sw_flags,
        target_hrmor=spec.target_hrmor,
    )
    return sign_header(payload, signing, options, unprotected_size)
