"""Batches over sockets: gateways on one side, engine replicas on the other.

``wire``, ``tensors``, ``messages`` and ``batches`` say what the bytes mean, ``connection`` moves
them, ``arena`` is memory that both processes see. ``engine`` is the side that runs models,
``executor`` the side that has batches to run. Nothing here knows who starts the processes.
"""
