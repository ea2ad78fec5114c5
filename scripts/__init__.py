"""One thin file per command; each is also `metarl-gan <name>`."""
