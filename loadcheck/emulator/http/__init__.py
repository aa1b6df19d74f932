"""HTTP/1.1 on the event loop's own protocols: what a request and an answer are, and who serves."""
