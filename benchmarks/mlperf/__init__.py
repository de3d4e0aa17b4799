"""MLPerf LoadGen against a running server: an outside check of our own generator."""
