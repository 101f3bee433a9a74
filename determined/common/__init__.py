"""What everything on the user's side of HTTP shares: the session, credentials, files, the local master."""
