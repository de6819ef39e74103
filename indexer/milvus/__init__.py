"""The store: the schema and rows of a collection, in an embedded or a remote Milvus."""
