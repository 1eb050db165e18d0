"""How fast steering is, and what it costs: seven comparisons, both sides of each measured in one run.

    python -m benchmarks.steering_speed [--parts a,b,c,d,e,f,g] [--model embedded|random|smollm2] [--rounds 5]

a  every value for every prompt, with calibrated probes: one batch against the published procedure
b  steered generation against transformers' unsteered `generate`, and against this engine unsteered
c  fitting directions for all values: batched against one sentence at a time
d  the memory that steering adds
e  many distinct vectors in one batch against none
f  one vector for all rows: against other steering libraries, where they are installed
g  unsteered: against llama.cpp, where `LLAMA_CPP_PYTHON` names an interpreter with the package
   `xllamacpp` and `LLAMA_CPP_MODEL` the same model as a GGUF file (whose numbers may be coarser), and
   against vLLM, where `VLLM_PYTHON` names an interpreter that has it and `VLLM_MODEL` the model's folder

`smollm2` is a real model, fetched unless it is in the cache; its parts take minutes a round (c half an hour).
No side stops early: the model has no end-of-sequence token here, so every row gets all its tokens.
Each side runs once untimed; its texts or directions are compared then. Ratios are taken within
each round and printed as median (lowest..highest). Where other programs run beside it,
`OMP_NUM_THREADS=1` and `--clock cpu` give steadier ratios: processor seconds instead of the wall's.
"""
