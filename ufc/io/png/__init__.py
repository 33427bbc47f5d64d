"""What a PNG says of itself: its request, its blocks, and reading both back."""
