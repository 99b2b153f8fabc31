"""The verdict on a record: by itself, beside others, and against what is shipped."""
