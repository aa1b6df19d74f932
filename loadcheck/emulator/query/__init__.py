"""The Dashboard REST API: what is asked, what it costs, and the count."""
