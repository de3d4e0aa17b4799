"""Penstock's server: a model repository answered over HTTP and gRPC."""

__all__ = ["__version__"]

__version__ = "0.1.0"
