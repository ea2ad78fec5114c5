"""Summarise finished runs: the same as ``metarl-gan report``."""

import sys

from metarl_gan.cli import main

if __name__ == "__main__":
    sys.exit(main(["report", *sys.argv[1:]]))
