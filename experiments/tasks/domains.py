"""The default task: real text of domains that differ, so that experts have something to divide."""

from experiments.tasks.byte_text import ByteText


class DomainsTask(ByteText):
    r"""Byte-level language modelling on code, English and Japanese from installed packages.

    A sample of each label (length 64; the Japanese is UTF-8, three bytes a character,
    and begins within one):

        code      |:\n        if isinstance(obj, list):\n            l.append(tuple_n|
        english   |Execution of Python coroutines can be suspended and resumed at m|
        japanese  |..ルディブ ルフィア、フィリピン ペソ\n2056年9月|
        target    the same, one byte later

    Split: a document (file, help topic, Japanese record) is held out if the hash of its text says
    so, one in eight; equal documents count once, and no evaluation window occurs in any training
    text. Tuning has windows of its own. Fingerprint: versions of Python and the packages, options,
    and the code that reads them.
    """
