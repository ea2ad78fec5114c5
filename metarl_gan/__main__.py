"""`python -m metarl_gan`: the same as the command `metarl-gan`."""

import sys

from metarl_gan.cli import main

if __name__ == "__main__":
    sys.exit(main())
