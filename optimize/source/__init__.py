"""The user's trained model and data, and how they look to the server."""
