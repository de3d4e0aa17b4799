"""Penstock beside what a team would pick instead: the same models, bytes, cores and generator."""
