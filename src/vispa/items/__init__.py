"""Items of files, read and answered."""
