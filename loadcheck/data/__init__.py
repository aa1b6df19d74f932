"""What makes copies differ: rows of data files, and values that are drawn.

All of it is a pure function of the seed and the copy's number: nothing is stored to know later what
a copy sent.
"""
