"""Speed of the training loop, beside what people use today, and where the time goes.

Every loop lives in a process of its own, so that none leaves threads, layouts or allocator settings to the next.
They take turns (A B A B ...) on the same machine; each is shown with the accuracy that the same epochs reach.
"""
