"""Penstock on Ray Serve: it places, heals, scales and replaces; batches go over our own sockets.

``cluster`` starts Ray or joins it, ``fleet`` keeps Serve applications as a repository asks for,
``engine_replica`` and ``gateway_replica`` are what runs in them. ``plan`` is what gateways are
told; ``directory`` is where a process finds replicas. All that touches Serve's request routers,
an alpha interface, is in ``router``. Modules that import ray say so in their first line.
"""
