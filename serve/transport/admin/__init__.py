"""The port for metrics, probes and operators."""

from serve.transport.admin.server import create_admin_server

__all__ = ["create_admin_server"]
