"""Pictures and videos as files: images of any kind in, MP4, WebM, GIF and PNG out."""
