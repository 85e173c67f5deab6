"""Lists the published data sets of the collection, and fits those that are at hand.

The data are not part of the project: SCALING_DATA names a folder with a sub-folder per data set.
"""

import os
from pathlib import Path

from analysis import published_data_sets, run_problem

data = Path(os.environ.get("SCALING_DATA", "data"))
for data_set in published_data_sets().values():
    state = data_set.state(data)
    print(f"{data_set.name}: {data_set.paper}; licence: {data_set.licence}; {state}")

name = "bnsl2023"
if published_data_sets()[name].state(data) == "present":
    for figure in run_problem(name, data).comparisons:
        print(figure.data, figure.quantity, "published", figure.authors, "here", figure.procedure)
