"""A first scenario for an API that nobody has described to us yet.

Reads what there is of the API (an OpenAPI description, recorded requests, a curl line), finds the
operation by which data goes in and the one that counts, and writes the Arazzo document, the
scenario and ``.env.example``.
"""
