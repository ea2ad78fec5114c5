"""Where tasks come from: tasks, families, parameter distributions, task-parallel stepping."""
