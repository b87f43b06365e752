"""The training loop (`loop.py`, read top to bottom), its two passes (`step.py`) and what each of them needs."""
