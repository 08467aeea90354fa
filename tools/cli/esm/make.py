"""pef esm make: a whole blob from a YAML file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from pefstack.tools.cli.esm.options import (
    add_blob,
    add_password,
    add_seed,
    add_writing,
    stream_of,
    write,
)

_EPILOG: Final = """
The file is that of IBM's svm-tool; paths in it count from the working folder:

  - origin:
      pubkey: owner.pub.pem
      seckey: owner.sec.pem        may be left out; else it must fit to pubkey
      comment: whose it is         in every entry, may be left out
  - recipient:                     any number of them
      pubkey: machine.pub.pem
  - digest:
      args: init=/bin/sh svm=1     exactly, blanks count
      initramfs: initrd.img
      kernel: vmlinux              or a zImage
  - file:                          any number of them
      path: passphrase
      name: rootd                  else the path's last part
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = _EPILOG
    add_blob(parser, text="where to write it")
    parser.add_argument(
        "-y", "--config", type=Path, required=True, metavar="YAML", help="what is in it"
    )
    add_password(parser)
    add_writing(parser)
    add_seed(parser)


def run(options: argparse.Namespace) -> int:
    """Make it in memory; one file is written at the end, or none."""
    from pefstack.tools.esm.config import read_config
    from pefstack.tools.esm.make_blob import make_blob
    from pefstack.tools.esm.password import password_of

    config = read_config(options.config)
    password = password_of(options.password_file)
    blob = make_blob(config, password, stream_of(options))
    files, boxes = len(config.files), len(blob.lockboxes)
    done = f"a blob with {boxes} lockboxes and {files} files"
    return write(options, options.blob, blob.to_bytes(), done)
