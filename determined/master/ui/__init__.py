"""What the web UI is fed with: whole tables and curves, what a search decided, and changes as they come."""
