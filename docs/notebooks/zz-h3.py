# %% [markdown]
# # Try
# Formula $L = E + \frac{A}{N^\alpha} + \frac{B}{D^\beta}$ and
#
# $$L(N, D) = E + \frac{A}{N^\alpha} + \frac{B}{D^\beta}, \qquad \hat{\theta} = \arg\min_\theta \sum_i \mathrm{Huber}_\delta\left(\log f_\theta(N_i, D_i) - \log L_i\right)$$
# %%
import pandas as pd, matplotlib.pyplot as plt
pd.DataFrame({"a": [1, 2], "b": [.5, 1.5]})
# %%
print("hello")
plt.plot([1,2,3]); plt.show()
# %%
print(1)
