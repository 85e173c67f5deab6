"""Corpora that others have tokenised: Megatron-LM's .bin and .idx, nanoGPT's and llm.c's .bin, OLMo's .npy.

`streams` has what they share: arrays of one type in files, cut into parts that any process reads on its own, and into
documents where the token that ends one is known.
"""
