"""From what a user asks for to cells: request, settings, plan."""
