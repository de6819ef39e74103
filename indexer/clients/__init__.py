"""The programs that start our MCP server: where their files are, and our entry in them."""
