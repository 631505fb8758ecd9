"""`bin/run` and `bin/test`: the servers that no variable names, and every process of the desk."""
