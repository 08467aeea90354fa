#!/usr/bin/env python3
"""Boot an emulated machine and print what it measured."""

import importlib.util
import os
import sys

if not __package__:  # started as `python tools/boot.py`
    sys.path[0] = __file__.rpartition("/")[0] + "/../src"
    if not importlib.util.find_spec("construct"):  # by a Python outside .venv
        python = sys.path[0] + "/../.venv/bin/python"
        if not os.access(python, os.X_OK):
            sys.exit("pefstack is not set up yet: run `make boot` in its folder, once")
        os.execv(python, [python, __file__, *sys.argv[1:]])

from pefstack.tools.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["boot", *sys.argv[1:]]))
