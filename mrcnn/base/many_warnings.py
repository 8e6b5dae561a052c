"""Warnings that a data set may cause hundreds of times: the first ones in full, of the others only their number."""

import logging

# number of warnings that are logged in full
SHOWN = 10


def warn_of_one_more(logger: logging.Logger, count: int, text: str) -> None:
    """Log a warning of a series: the first ten, and the 20th, 40th, 80th and so on with their number.

    Args:
        count: number of warnings of the series so far, with this one.
        text: what is skipped, and why.
    """
    if count <= SHOWN:
        logger.warning("skipped in training: %s", text)
    elif count % SHOWN == 0 and (count // SHOWN).bit_count() == 1:
        logger.warning("skipped in training: %d images so far, the last one: %s (`mrcnn check` lists all)", count, text)
