"""Reports: all fits and figures of a store or a file in one HTML page.

`build.write_report` writes a report. `findings` fits the laws. `page` collects the contents as plain data: sections
from `law`, `optimum`, `model_sizes`, `evals` and `runs`, figures from `pictures`, and sentences about fits from
`sentences`. `html` renders them with the Jinja2 templates in `templates`.
"""
