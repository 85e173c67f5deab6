"""Audit of a source of runs: what a reviewer would check before a fit, as findings with a severity.

`audit.audit_source` audits a store or a table and returns an `Audit` (`findings`); the other modules contain the
checks.
"""
