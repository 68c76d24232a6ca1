"""The catalogue: every operator declared once, and read by everything else. Names no backend."""
