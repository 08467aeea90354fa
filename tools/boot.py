#!/usr/bin/env python3
"""Boot an emulated machine and print what it measured."""

import importlib.util
import os
import sys

if not __package__:  # started as `python tools/boot.py`
    root = os.path.realpath(__file__).rpartition("/")[0] + "/.."
    sys.path[0] = root + "/src"
    if not importlib.util.find_spec("cryptography"):  # by a Python outside .venv
        ready = os.access(root + "/.venv/bin/.ready", os.F_OK)
        python = root + "/.venv/bin/python"
        ours = os.path.realpath(sys.prefix) == os.path.realpath(root + "/.venv")
        if not ready or ours:
            sys.exit("pefstack is not set up yet: run `make boot` in its folder, once")
        os.execv(python, [python, __file__, *sys.argv[1:]])

from pefstack.tools.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["boot", *sys.argv[1:]]))
