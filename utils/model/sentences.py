"""Rules that find faulty English captions: captions that name the same thing twice, or stop in the middle."""

import itertools


def _set(words):
    return frozenset(words.split())


_BEFORE_NOUNS = _set("a an the and or of with in on at to by from for near over through into onto under behind beside")
_FUNCTION_WORDS = _BEFORE_NOUNS | _set(
    "while as is are was were be being been along against between across around down up off out inside outside next "
    "front that who which its his her their him them it one"
)
_COLOURS = _set("red blue green white black brown yellow orange pink purple grey gray tan blond blonde")
_NEVER_LAST = _set("a an the and or of with at from for into onto while as is are its his their")


def fault(words):
    """The fault of a caption: "twice", "breaks off" or None.

    "twice": the same noun occurs again, and no other word distinguishes the second thing from the first. Examples:
    "a woman and a woman", "a black dog is playing with a dog". "another dog" and "a white dog" are no fault.

    "breaks off": the last word needs another word after it. Example: "is running on the".

    In 1.4 % of Flickr8k's human captions the rules find a fault. Most of these captions are correct: "a man in black
    shakes hands with a man in white".

    Args:
        words: lower-case words of the caption.

    Example:
        >>> fault(["a", "woman", "and", "a", "woman"])
        'twice'
    """
    words = list(words)
    if words and (words[-1] in _NEVER_LAST or (words[-1] in _COLOURS and words[-2:-1] in (["a"], ["the"]))):
        return "breaks off"
    for place in range(1, len(words)):
        word, before = words[place], words[place - 1]
        if word in _FUNCTION_WORDS or word not in words[:place]:
            continue
        if word in _COLOURS:
            if words[place - 2 : place] == [word, "and"]:
                return "twice"
            continue
        # Only a noun counts, not a word before a noun: "a soccer player with a soccer ball" is correct.
        after = words[place + 1] if place + 1 < len(words) else "and"
        if before in _BEFORE_NOUNS and (after in _FUNCTION_WORDS or after.endswith("ing")):
            return "twice"
    return None


def best_first(faults, groups=1):
    """The order of a photo's captions: captions without a fault come before faulty ones.

    Otherwise captions keep their order. Several groups are interleaved: the first of each group, then the second of
    each group, and so on.

    Args:
        faults: `fault` of each caption, a list. It holds the groups one after another, all of the same size, and each
            group is sorted by score.
        groups: number of groups.

    Returns:
        The captions' indices in the new order, a list of int.

    Example:
        >>> best_first(["twice", None, None])
        [1, 2, 0]
    """
    size = len(faults) // groups
    ordered = [sorted(range(g * size, (g + 1) * size), key=lambda i: faults[i] is not None) for g in range(groups)]
    return list(itertools.chain(*zip(*ordered)))
