"""The analyses: one module each, named like the analysis; its docstring starts with the question.

How one is written is in `promptbench.analysis.analysis`; what was measured comes from the tools
beside this folder, such as `sweep`, `geometry` and `agreement`.
"""
