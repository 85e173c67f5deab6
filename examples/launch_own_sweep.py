"""Plans, launches and reads a sweep that is a function in this file: three sizes, each with two amounts of data.

On the command line: python -m sweeps launch launch_own_sweep.py:size_grid --store S --set widths=16,32.
"""

import analysis
import sweeps
from scaling import DataConfig, EvalConfig, ModelConfig, OptimizerConfig, RunConfig, ScheduleConfig


def size_grid(corpus, *, seed=0, widths=(16, 24, 32), steps=(60, 120)):
    """Sizes × amounts of data; the runs of a size share the start of their training."""
    return [
        RunConfig(
            model=ModelConfig(vocab=corpus.vocab, width=width, layers=2, heads=width // 8, mlp_width=3 * width),
            data=DataConfig(tokens=corpus.tokens, length=64),
            optimizer=OptimizerConfig(lr=0.16 / width),
            schedule=ScheduleConfig(warmup=20),
            eval=EvalConfig(sequences=128),
            batch=16,
            steps=count,
            seed=seed,
        )
        for width in widths
        for count in steps
    ]


if __name__ == "__main__":
    print(sweeps.plan(size_grid, store="S"))
    sweep = sweeps.launch(size_grid, store="S")  # in a notebook: wait=False, then sweep.watch()
    print(sweep.status())
    print(analysis.table("S")[["N", "D", "C", "loss", "status"]].sort_values("C").to_string(index=False))
