"""Adaptation curve of a trained agent on held-out tasks: the same as ``metarl-gan evaluate``."""

import sys

from metarl_gan.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
