"""From a trained model to the fastest version of it that passes its gates, or to none."""
