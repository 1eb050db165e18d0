"""Who reads comments: chat models behind an API, or here."""
