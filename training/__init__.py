"""Training of the models that ship inside `vispa`; not part of the installed package."""
