"""Speed, proved by commands: `python -m bench load --tickets N`, `python -m bench pages`."""
