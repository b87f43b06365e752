"""Taking videos down, dropping what nothing needs, and saying what this machine and dataset lack."""
