"""The wiki of a project: a page for each file, in Markdown."""
