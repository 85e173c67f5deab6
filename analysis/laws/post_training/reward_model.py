"""Laws of reward-model over-optimisation: the gold reward as a function of the policy's divergence (Gao 2022).

The parameters depend on the size of the reward model, so that there are no single published values.

Key: d square root of the divergence KL(policy, initial policy) in nats, R gold reward relative to the initial policy.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analysis.laws.law import Array, Law


def reward_bon(d: Array, *, alpha: Array, beta: Array) -> Array:
    """d·(α − β·d), for best-of-n sampling (Gao 2022).

    Args:
        d: Square root of the divergence, in √nats.
        alpha: Reward per √nat at the start.
        beta: Loss of reward per nat.
    """
    return d * (alpha - beta * d)


def reward_rl(d: Array, *, alpha: Array, beta: Array) -> Array:
    """d·(α − β·ln d), 0 at d = 0, for reinforcement learning (Gao 2022).

    Args:
        d: Square root of the divergence, in √nats.
        alpha: Reward per √nat at d = 1.
        beta: Loss of reward per √nat, with ln d.
    """
    return d * (alpha - beta * np.log(np.where(d > 0, d, 1.0)))


def _reward(function: Callable[..., Array], method: str, latex: str) -> Law:
    return Law(
        function,
        f"Gao 2022 (reward models), {method}",
        {},
        linear=("alpha", "beta"),
        bounds={"alpha": (-np.inf, np.inf), "beta": (-np.inf, np.inf)},
        output="R",
        objective="mse",
        units={"d": "√nats", "R": "reward", "alpha": "reward per √nat", "beta": "reward per nat"},
        columns={"d": "d sqrt_kl root_kl", "R": "r gold_reward gold_score reward gold"},
        signed=("d", "R"),
        latex=(latex,),
    )


REWARD_BON = _reward(reward_bon, "best of n", r"R(d) = d \left(\alpha - \beta d\right)")
REWARD_RL = _reward(reward_rl, "reinforcement learning", r"R(d) = d \left(\alpha - \beta \ln d\right)")
