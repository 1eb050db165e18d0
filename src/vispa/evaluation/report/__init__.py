"""The report of a run: one HTML page with its figures."""

from vispa.evaluation.report.page import inline_svg, report_folder, write_report

__all__ = ["inline_svg", "report_folder", "write_report"]
