"""What a run leaves behind: a table on the terminal, JSON and Markdown."""
