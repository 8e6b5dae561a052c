"""The data set doctor: checks a data set before training, and reports all problems.

    report = check_dataset("toys")
    print(report.table())
    report.save_html("toys.html")

Unlike the readers, it does not stop at the first error. Each finding names its file and ids, and what to do.
"""

from mrcnn.tools.doctor.check import check_dataset
from mrcnn.tools.doctor.findings import KINDS, Finding
from mrcnn.tools.doctor.report import Report

__all__ = ["KINDS", "Finding", "Report", "check_dataset"]
