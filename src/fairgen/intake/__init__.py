"""Outside data and built-in phantoms become cohort folders here."""
