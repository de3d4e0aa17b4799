"""What was tried, and why what was chosen was chosen: one page and one JSON file."""
