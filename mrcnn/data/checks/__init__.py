"""The doctor: looks a data set over before it is trained on, and says what is wrong with it.

    report = check_dataset("toys")
    print(report.table())
    report.save_html("toys.html")

It does not stop at the first fault, as the readers do: each finding names its file and ids, and says what to do.
"""

from mrcnn.data.checks.doctor import check_dataset
from mrcnn.data.checks.finding import KINDS, Finding
from mrcnn.data.checks.report import Report

__all__ = ["KINDS", "Finding", "Report", "check_dataset"]
