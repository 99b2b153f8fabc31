"""The formats of tables: one module each, named like the format (`promptbench.report.format`)."""
