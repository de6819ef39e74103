"""Options, a project's files, and the settings made of them."""
