"""What learns behind the MetaLearner role: one file per way of learning."""
