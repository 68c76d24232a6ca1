"""Formulas as a reader sees them: conventions, layout, printers, and the prose around them in two languages."""
