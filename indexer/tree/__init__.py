"""What is on disk: git, ignore rules, the scan, and what changed."""
