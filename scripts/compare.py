"""Compare methods over seeds at equal real steps: the same as ``metarl-gan compare``."""

import sys

from metarl_gan.cli import main

if __name__ == "__main__":
    sys.exit(main(["compare", *sys.argv[1:]]))
