"""Why it works: norms, attention, geometry and the coupled prompt field of finished runs.

A run's method is rebuilt from its record and the parameters beside it (`runs`), looks at test
images once (`sweep`), and is observed from the towers (`promptbench.running.observing`); no method
knows of it. Each analysis turns what was seen into rows of numbers (`rows`), which become tables
and figures (`results`). The definitions, with their equations, are in docs/analysis.md.
"""
