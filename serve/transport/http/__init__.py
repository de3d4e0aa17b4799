"""HTTP/1.1: sockets, requests and answers; what they mean is behind the data plane."""

from serve.transport.http.server import HttpServer, create_http_server

__all__ = ["HttpServer", "create_http_server"]
