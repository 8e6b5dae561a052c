"""The doctor: looks a data set over before it is trained on, and says what is wrong with it.

    report = check_dataset("toys")
    print(report.table())
    report.save_html("toys.html")

It does not stop at the first fault, as the readers do: each finding names its file and ids, and says what to do.
"""

from mrcnn.tools.doctor.doctor import check_dataset
from mrcnn.tools.doctor.finding import KINDS, Finding
from mrcnn.tools.doctor.report import Report

__all__ = ["KINDS", "Finding", "Report", "check_dataset"]
