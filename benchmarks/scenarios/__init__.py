"""One scenario a file: what it measures, and the thresholds it must meet."""
