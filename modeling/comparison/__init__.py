"""Runs side by side: their evaluations as one table, their clips as strips and videos, their curves, and a page.

Reads what `modeling evaluate` wrote; nothing is scored here.
"""
