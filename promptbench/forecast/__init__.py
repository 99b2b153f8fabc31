"""What a run would take: cells, trainings and who shares them, time and disk. Nothing is trained.

Time comes from what was measured on this machine: seconds per step and per image in earlier
records of the same method, source dataset, device and weights, else a few steps on random images
whose results are thrown away. What a solver takes is only known from records.
"""

from promptbench.forecast.estimate import Forecast, forecast
from promptbench.forecast.shares import Share

__all__ = ["Forecast", "Share", "forecast"]
