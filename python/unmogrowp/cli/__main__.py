"""`python -m unmogrowp.cli`."""

import sys

from unmogrowp.cli import main

sys.exit(main())
