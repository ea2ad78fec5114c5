"""Meta-train an agent on a task family: the same as ``metarl-gan train``."""

import sys

from metarl_gan.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
