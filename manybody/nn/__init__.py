"""Network parts."""
