"""Families on Gymnasium's MuJoCo environments: one exactly as Gymnasium steps it, many at once."""
