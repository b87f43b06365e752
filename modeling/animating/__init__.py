"""Still images set in motion, whole or in tiles."""
