"""Models from elsewhere: MLflow's model registry, and repositories in object stores.

Nothing of it is imported by a server that has neither. Each client library is imported in one
module: mlflow in ``mlflow_client``, fsspec in ``store``.
"""
