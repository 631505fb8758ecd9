"""Pages and fragments of tickets and of what is promised for them."""
