"""What a model's ``autoscaling`` settings do with a load, before it is paid for."""
