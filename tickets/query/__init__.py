"""The query language of tickets: one parser for the search box, the API and everything that picks tickets."""
