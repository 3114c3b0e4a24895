"""What attention heads do, and what a model can do without some of them.

probe.py              entropy, distance and weight on offsets of each head: `HeadProbe`
scores.py             these scores from queries and keys, block by block
copying.py            how well a model copies, and which heads look for what came before
attention_weights.py  queries, keys and weights as the layers of a model compute them
portraits.py          what a head looks at, in words and as weights to draw
record.py             what the experiment records of all these
removals.py           what is lost without heads: ablation.py replaces their outputs by means,
importance.py orders them, pruning.py takes away one after the other
"""
