"""What there is to search, in the forms in which others give it away: one module a format."""
