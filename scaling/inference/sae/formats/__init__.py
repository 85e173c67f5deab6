"""Formats of other packages for sparse autoencoders: folders of SAELens, and params.npz of Gemma Scope.

`weights` has the form that both are read into and written from, `sae_lens` and `gemma_scope` the files, and `exchange`
makes files of a run and runs of files.
"""
