"""Reading the comments: from many voices to one response."""
