"""The status of a sweep: what is done, running, waiting and failed, what it has cost, and its losses as they fill.

`status.status` reads it from the store as plain data; terminal.py shows it as text, watch.py repeatedly, page.py as an
HTML page. live.py redraws progress bars and screens in place.
"""
