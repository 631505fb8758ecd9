"""Demo data: people and tickets for the desk, and a shop of its own for runbooks to work on."""
