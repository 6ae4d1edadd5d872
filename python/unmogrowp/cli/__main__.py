"""`python -m unmogrowp.cli` is `unmogrowp`."""

import sys

from unmogrowp.cli import main

if __name__ == "__main__":
    sys.exit(main())
