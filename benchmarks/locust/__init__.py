"""User journeys with Locust: see README.md beside this file."""
