"""Clips: where they are, as rows with exact times, and as files of their own where these are wanted."""
