"""How fast this project trains, beside what people use today, and where the time goes.

Every contender lives in a process of its own, so that none leaves threads, layouts or allocator settings to
the next. They work in turns (A B A B ...) on the same machine, and each row carries the accuracy that the same
number of epochs reaches.
"""
