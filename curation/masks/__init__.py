"""Label maps of frames: given by people or segmenters, or made of what moves."""
