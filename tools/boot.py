#!/usr/bin/env python3
"""Boot an emulated machine and print what it measured."""

import sys

if not __package__:  # started as `python tools/boot.py`
    sys.path[0] = __file__.rpartition("/")[0] + "/../src"

from pefstack.tools.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["boot", *sys.argv[1:]]))
