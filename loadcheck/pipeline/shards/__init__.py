"""One load from several processes, on one machine or many, as if it came from one."""
