"""Other libraries' interfaces on fastsio."""
