"""The page itself: template, style and scripts, and what fills them."""
