"""Tables as text, for the terminal."""


def table(rows, header):
    """Rows as lines of text with aligned columns: the first column to the left, the others to the right.

    Args:
        rows: list of tuples of cells, each written by `str`.
        header: tuple of strings.

    Returns:
        A list of strings, the header first.
    """
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))]).rstrip()
        for row in cells
    ]
