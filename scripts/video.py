"""Compare gradients on generated data with the true ones: the same as ``metarl-gan video``."""

import sys

from metarl_gan.cli import main

if __name__ == "__main__":
    sys.exit(main(["video", *sys.argv[1:]]))
