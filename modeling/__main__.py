"""`python -m modeling`: the `modeling` command for those that start modules, as torchrun does."""

from __future__ import annotations

from modeling.commands import main

if __name__ == "__main__":
    main(prog_name="modeling")
