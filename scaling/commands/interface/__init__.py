"""The functions of `scaling` for notebooks and scripts, one module each; `import scaling` has them by name.

Commands of `python -m scaling` with the same name call them, or the same functions below them.
"""
