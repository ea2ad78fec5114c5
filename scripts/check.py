"""Check a task family, built-in or your own: the same as ``metarl-gan check``."""

import sys

from metarl_gan.cli import main

if __name__ == "__main__":
    sys.exit(main(["check", *sys.argv[1:]]))
