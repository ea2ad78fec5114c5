"""Compare arms over seeds at equal cost: the same as ``metarl-gan ablate``."""

import sys

from metarl_gan.cli import main

if __name__ == "__main__":
    sys.exit(main(["ablate", *sys.argv[1:]]))
