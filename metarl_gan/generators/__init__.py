"""The networks behind the Generator role: one file per kind."""
