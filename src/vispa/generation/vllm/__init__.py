"""Steering inside vLLM: every request's own values, amounts and positions under continuous batching.

A general plug-in of vLLM (`plugin`) reads a bank where the workers load the model. Requests name their steers
(`asked`); on each worker tables hold what they add (`tables`), each step tells which row of them every token gathers
(`steps`), and the decoder layers add it (`hooks`). `engine` is an `Engine` over it.
"""
