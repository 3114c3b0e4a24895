"""Corpora of text: built once, cached under a fingerprint, and split without leaks. No torch.

Whole documents are held out or trained on. Evaluation windows share no text with training:

- No `length` consecutive bytes of a window occur in the training text of any label.
- For the user's text, this also holds for text that differs only in white space, encoding or
  Unicode form.

The fingerprint of a corpus covers the bytes that were read. A trial uses the cached corpus with the
fingerprint of its plan.

Files:
    base.py           the base class of tasks of text, which reads, builds and loads a corpus
    corpus_arrays.py  the arrays of a corpus, from split text
    windows.py        evaluation windows without text of the training data
    cache_files.py    the files that store the arrays
    user_text.py      the user's text, from files that file_search.py finds
    labels.py         labels from the names of folders
    normalisation.py  text in different encodings and spellings, in one form for comparison
    package_text.py   code and English of installed packages
    japanese.py       generated Japanese
"""
