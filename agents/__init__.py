"""Who acts and learns inside a task: policies, returns, inner-loop learners."""
