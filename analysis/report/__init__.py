"""Reports: every fit and figure of a store or a file in one HTML page.

`build.write_report` writes a report. `findings` fits the laws, `page` describes the contents as plain data (the
sections are in `law`, `optimum`, `outlook`, `evals` and `runs`, the figures in `pictures`), and `html` renders them
with the Jinja2 templates in `templates`. `sentences` words what fits say.
"""
