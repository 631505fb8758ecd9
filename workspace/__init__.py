"""Pages that show several apps: home, the palette, reports."""
