"""Work in processes of their own: what ablations and comparisons share."""
