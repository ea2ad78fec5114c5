"""Measure the speed of what takes the time: the same as ``metarl-gan bench``."""

import sys

from metarl_gan.cli import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))
