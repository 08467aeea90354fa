"""The largest values this TPM takes and gives, in bytes or as counts (tpm.md 1)."""

from __future__ import annotations

from typing import Final

HEADER_SIZE: Final = 10
MAX_COMMAND_SIZE: Final = 4096  # tpm.md 1, as the next ten
MAX_RESPONSE_SIZE: Final = 4096
MAX_DIGEST_SIZE: Final = 64
MAX_DIGEST_BUFFER: Final = 1024  # the input buffer
MAX_NV_BUFFER_SIZE: Final = 1024
MAX_NV_INDEX_SIZE: Final = 2048
MAX_CAP_BUFFER: Final = 1024
MAX_SYM_DATA: Final = 128
MAX_SESSION_NUM: Final = 3
MAX_LOADED_SESSIONS: Final = 3
MAX_ACTIVE_SESSIONS: Final = 64
MAX_LOADED_OBJECTS: Final = 3
PCR_COUNT: Final = 24
PCR_SELECT_SIZE: Final = PCR_COUNT // 8
MAX_PCR_DIGESTS: Final = 8  # of TPML_DIGEST, so of one PCR_Read
LOCALITY_COUNT: Final = 5

MAX_RSA_KEY_BYTES: Final = 384  # RSA-3072
MAX_ECC_KEY_BYTES: Final = 66  # P-521
MAX_SYM_KEY_BYTES: Final = 32
MAX_SYM_BLOCK_SIZE: Final = 16
MAX_LABEL_SIZE: Final = 32  # of TPMS_DERIVE
MAX_CAP_CC: Final = 254  # command codes in one list
MAX_ALG_LIST_SIZE: Final = 64
MAX_NAME_SIZE: Final = 68  # the next six as measured on swtpm 0.7.1: sizes of C unions
MAX_DATA_SIZE: Final = 66
MAX_PRIVATE_SIZE: Final = 1230
MAX_ID_OBJECT_SIZE: Final = 132
MAX_TEMPLATE_SIZE: Final = 484
MAX_CONTEXT_SIZE: Final = 2748
