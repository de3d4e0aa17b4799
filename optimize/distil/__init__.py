"""Distillation: a small network learns to answer as the original does, and becomes a candidate."""
