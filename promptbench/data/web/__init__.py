"""Files of web servers: connections, redirects, whole downloads and those that resume."""
