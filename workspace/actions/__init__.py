"""Every write of pages that show several apps."""
