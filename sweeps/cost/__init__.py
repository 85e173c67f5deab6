"""What a sweep costs: quotes from FLOPs and prices, caps, spending so far, time left, and what sharing saves.

`quote` and `prices.json` turn FLOPs into hours, dollars and energy; `compiled_time` corrects them for small models;
`caps` limits a launch; `spend` sums up a sweep's status; `pace` estimates the time left from the store's runs;
`sharing_saved` computes and `sharing_measured` measures what shared prefixes and packs save.
"""
