"""How videos come to be known: named by a person or found by a search; each once, with the query that named it."""
