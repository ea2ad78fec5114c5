"""`metarl-gan compare`: methods by seeds at equal real steps."""
