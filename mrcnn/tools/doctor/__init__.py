"""The doctor: checks a data set before training, and reports everything that is wrong with it.

    report = check_dataset("toys")
    print(report.table())
    report.save_html("toys.html")

Unlike the readers, it does not stop at the first fault: each finding names its file and ids, and says what to do.
"""

from mrcnn.tools.doctor.check import check_dataset
from mrcnn.tools.doctor.findings import KINDS, Finding
from mrcnn.tools.doctor.report import Report

__all__ = ["KINDS", "Finding", "Report", "check_dataset"]
