"""`metarl-gan ablate`: arms, which differ in one thing each, by seeds at equal cost."""
