"""Where requests come from: a model's signature, its evaluation data, or recorded requests."""
