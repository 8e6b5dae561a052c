"""`python -m mrcnn`: the same as the command `mrcnn`."""

import sys

from mrcnn.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
