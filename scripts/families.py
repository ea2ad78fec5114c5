"""List the task families and what they are: the same as ``metarl-gan families``."""

import sys

from metarl_gan.cli import main

if __name__ == "__main__":
    sys.exit(main(["families", *sys.argv[1:]]))
