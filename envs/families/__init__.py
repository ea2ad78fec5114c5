"""The families that come with the package, a module each."""
