"""`python -m softgrid` is the command `softgrid`, for whoever has no scripts folder on the PATH.

Hands over to the command line and decides nothing itself.
"""

import sys

from softgrid._cli.main import main

if __name__ == "__main__":
    sys.exit(main())
