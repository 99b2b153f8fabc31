"""What methods cost, from their records: tables and a figure."""
