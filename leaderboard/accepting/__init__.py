"""What stands on the leaderboard: where accepted records lie, and how others join them."""
