"""The wiki of a project: a page a file, in Markdown."""
