"""The embedding model: its files, its tokenizer, and the embedders that run it."""
