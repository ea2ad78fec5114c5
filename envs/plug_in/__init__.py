"""Ways in for environments of one's own: parameters, callables, files, other packages' tasks."""
