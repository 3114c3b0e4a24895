"""Probes of attention heads: where they look, and the accuracy that a model loses without them.

Files:
    probe.py              entropy, distance and weight on offsets of each head: `HeadProbe`
    scores.py             these scores from queries and keys, block by block
    copying.py            copy accuracy, and scores of heads on repeated symbols: `CopyProbe`
    attention_weights.py  queries, keys and weights as the layers of a model compute them
    summaries.py          a description of each head in words, and weights to draw
    head_metrics.py       records the scores above
    ablation.py           replaces the outputs of heads by their means
    importance.py         orders heads by their effect on the loss
    pruning.py            ablates the heads of an order one by one
    ablation_metrics.py   records the results of these three
"""
