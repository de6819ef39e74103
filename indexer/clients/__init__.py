"""The programs that start our MCP server: where their files lie, and our entry in them."""
