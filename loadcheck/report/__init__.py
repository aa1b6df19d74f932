"""A result as people read it. Returns text or bytes; printing is the caller's."""
