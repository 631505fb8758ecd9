"""Pages about people: what they are told, what they set for themselves, what was done."""
