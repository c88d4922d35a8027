"""Formats tables as text, for the terminal."""


def table(rows, header):
    """Format a table as lines of text. The first column is aligned to the left, the others to the right.

    Args:
        rows: a list with one tuple per row. Each value is converted with `str`.
        header: a tuple with the titles of the columns.

    Returns:
        A list of lines, strings. The first one is the header.
    """
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))]).rstrip()
        for row in cells
    ]
