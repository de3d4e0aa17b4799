"""Benchmarks: a running server, spoken to over the wire, against the least a server could do."""
