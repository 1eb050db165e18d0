"""The service: an OpenAI-compatible server over one pipeline, safe in front of people."""
