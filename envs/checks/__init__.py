"""Whether a family is fit to learn on: `check_family` and what it consists of."""
