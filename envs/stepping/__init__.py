"""Environments of many tasks, stepped together: as arrays, in a loop, in other processes."""
