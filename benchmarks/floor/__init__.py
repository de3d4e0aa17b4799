"""The floor: what the same work costs with nothing around it."""
