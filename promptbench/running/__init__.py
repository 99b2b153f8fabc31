"""Working through the cells of a plan: in this process or several, through failures, to records."""
