"""The store: schema, rows, and the collection, embedded or on a server."""
