"""Cost of a sweep: quotes from FLOPs and prices, caps, spending so far, time left, and savings by sharing.

`quote` turns FLOPs into hours, dollars and energy with `prices.json`; `compiled_time` corrects quotes of small models;
`caps` limits a launch; `spend` sums up a sweep's status; `pace` estimates the time left from the store's runs;
`sharing_saved` computes and `sharing_measured` measures what shared prefixes and packs save.
"""
