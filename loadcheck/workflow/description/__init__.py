"""What a document says: the Arazzo description and the OpenAPI operations it names."""
