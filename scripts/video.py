"""Film an agent in held-out tasks, before and after it adapts: the same as ``metarl-gan video``."""

import sys

from metarl_gan.cli import main

if __name__ == "__main__":
    sys.exit(main(["video", *sys.argv[1:]]))
