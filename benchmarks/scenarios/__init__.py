"""One scenario a file: what it measures, its parameters, and the metrics it yields."""
