"""What becomes of the comments: the three modes of the paper (section 3.3)."""
