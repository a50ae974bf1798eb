"""What compares experiments and shows them: leaderboard, figures, and a page to read single questions."""
