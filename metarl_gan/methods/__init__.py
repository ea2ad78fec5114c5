"""What `metarl-gan compare` compares: our agents and baselines behind one role."""
