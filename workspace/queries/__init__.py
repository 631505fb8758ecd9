"""What the pages of the workspace show."""
