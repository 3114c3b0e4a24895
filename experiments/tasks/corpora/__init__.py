"""Corpora of text: built once, cached under a fingerprint, split without leaks. No torch.

Documents are split, not text: a document is trained on or held out. No stretch of `length` bytes of
an evaluation window occurs in the training text of any label; of the user's text, no window does
that is only written another way (`alike`). A plan and its trials meet by the fingerprint: it is of
the bytes that were read once, which are those in the cache.

    base.py      what tasks of text have in common: read, build, find again
    build.py     from text that is split to the arrays of a corpus; windows.py finds free windows
    cached.py    the files that hold these arrays
    files.py     the user's text; find.py finds the files, labels.py names their folders,
                 alike.py knows text that is only written another way
    sources.py   code and English of installed packages; japanese.py writes Japanese
"""
