"""`python -m pefstack.tools.cli` is `pef`."""

import sys

from pefstack.tools.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
