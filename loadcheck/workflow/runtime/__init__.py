"""A compiled program at work: plain generators that yield requests and take answers."""
