"""The lab: what all cells of a run share, and the machine that they are computed on."""

from promptbench.running.lab.shared import Lab, open_lab, provide_data, sharing_a_lab

__all__ = ["Lab", "open_lab", "provide_data", "sharing_a_lab"]
