"""What is known of an index: its identity, manifest, lock and stamp."""
