"""Which version answers a request: splits, sticky assignment, shadows, rollouts, rollback."""
