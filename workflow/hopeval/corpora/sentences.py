"""Texts into sentences."""


def split(text: str) -> list[str]:
    r"""The sentences of an English text, blanks between them at their ends; joined they are the text again.

    >>> split("He met J. R. Smith in Washington, D.C., in Jan. 2001. Then he left.\n")
    ['He met J. R. Smith in Washington, D.C., in Jan. 2001. ', 'Then he left.\n']
    """
    import sentencex

    sentences: list[str] = sentencex.segment("en", text)
    return sentences
