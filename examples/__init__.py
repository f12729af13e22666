"""Small applications, each in a file of its own; the first lines of each say how to run it."""
