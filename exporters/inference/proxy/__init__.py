"""`gigawatch proxy`: stands before an engine that has no metrics and counts what passes.

A tap rather than a web server: each client connection has an upstream connection of its own, and the bytes of
one go to the other as they are. What is understood of them is counted; what is not passes all the same.
"""
