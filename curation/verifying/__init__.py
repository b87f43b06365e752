"""Do the files, the manifest and the catalogue say the same, is nothing torn apart, has nothing been changed?"""
