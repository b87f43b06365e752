"""Where videos come from: what names one (`found`), URLs told apart offline (`urls`), folders (`folder`), yt-dlp.

A provider turns what a person gave into a `Found`, and later a known video into a `Fetched` file.
"""
