"""The site: pages as plain data, their templates and scripts, and the folder that holds them."""
