"""How long a candidate takes, measured beside its baseline."""
