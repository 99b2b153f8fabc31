"""Rows, ranks and leaders of each protocol, as plain data: from accepted records and papers."""
