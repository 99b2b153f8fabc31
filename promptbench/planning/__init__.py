"""From what a user asks for to cells: request, settings, plan, and what it would take."""
