"""What several studies share: plans, cells, slopes of operators, verdicts, plots."""
