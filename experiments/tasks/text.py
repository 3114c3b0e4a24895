"""Language modelling on the user's own files: `task=text task.path='my/**/*.md'`."""

from experiments.tasks.byte_text import ByteText


class TextTask(ByteText):
    """Byte-level language modelling on text files; each is a document, each folder a label.

    A sample of `task.path='notes/**/*.md'` with folders notes/garden and notes/work (length 32):

        garden    |Sow beans after the last frost. |
        work      |Minutes of the meeting on Monday|
        target    the same, one byte later

    Split: whole files are held out, in the order of a hash of their contents, until they are
    `eval_share` of a label's bytes; where a label has one file, its tail is. Files that hold the
    same text, however it is written, are one document (`experiments.corpus_alike`). No evaluation
    window occurs in the training text, written in whatever way. Tuning has windows of its own, of
    other documents as far as there are. Fingerprint: labels and contents of the files, options, and
    the code that reads them.
    """
