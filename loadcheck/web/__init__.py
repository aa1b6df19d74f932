"""The page of a run while it goes on, and its metrics for whoever comes to fetch them.

A process of its own serves them, so that no viewer, however slow or many, costs the load anything.
The run hands it what has changed, once a second (``feed``), and never waits for it (``process``);
it puts that together to the same document and pages as the report has (``state``), and shows them
to viewers (``server``).
"""
