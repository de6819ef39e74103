"""What goes on around a run: mentions, events, the wiki. I/O-bound, in asyncio."""
